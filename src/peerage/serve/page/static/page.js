const rows = new Map();
const body = document.getElementById("rows");

function draw() {
  body.replaceChildren(...[...rows.values()].map((row) => {
    const line = document.createElement("tr");
    for (const text of [row.service, row.instance, row.node, row.urls.join(" "), row.state]) {
      const cell = document.createElement("td");
      cell.textContent = text ?? "";
      line.append(cell);
    }
    return line;
  }));
}

const changes = new EventSource("v1/changes");
changes.addEventListener("reset", (event) => {
  rows.clear();
  for (const row of JSON.parse(event.data).rows) rows.set(row.name, row);
  draw();
});
changes.addEventListener("put", (event) => {
  const row = JSON.parse(event.data);
  rows.set(row.name, row);
  draw();
});
changes.addEventListener("gone", (event) => {
  rows.delete(JSON.parse(event.data).name);
  draw();
});
