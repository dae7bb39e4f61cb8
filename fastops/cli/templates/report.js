"use strict";
// The table of all cases: a click on a head sorts, the box filters. Without this script it is a plain table.
(() => {
  const table = document.getElementById("cases");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;

  function sort(column) {
    const numbers = heads[column].classList.contains("number");
    const before = heads[column].getAttribute("aria-sort");
    const up = before === "descending" || (before === null);
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const compare = (a, b) => {
      const [left, right] = [value(a, column), value(b, column)];
      if (numbers && (left === "" || right === "")) return (left === "") - (right === ""); // what is missing goes last
      const order = numbers ? left - right : left.localeCompare(right, "en", { numeric: true });
      return up ? order : -order;
    };
    body.append(...rows.sort(compare));
  }

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(column));
    head.append(button);
  });

  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const box = document.getElementById("filter");
  const count = document.getElementById("count");
  function filter() {
    const words = box.value.toLowerCase().split(/\s+/);
    rows.forEach((row) => { row.hidden = !words.every((word) => texts.get(row).includes(word)); });
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} cases`;
  }
  box.addEventListener("input", filter);
  box.closest(".filter").hidden = false;
  filter();
})();
