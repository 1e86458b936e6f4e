const boxes = [...document.querySelectorAll(".cluster")];
function decisions() {
  const lines = ["cluster,action,into"];
  for (const box of boxes) {
    const action = box.querySelector("select").value;
    if (!action) continue;
    const field = box.querySelector("input");
    const into = field.disabled ? "" : field.value.trim();
    lines.push([box.dataset.cluster, action, '"' + into.replaceAll('"', '""') + '"'].join(","));
  }
  return lines.join("\n") + "\n";
}
function fit(box) {
  const action = box.querySelector("select").value, field = box.querySelector("input");
  field.disabled = !["merge", "rename", "split"].includes(action);
  field.required = ["merge", "rename"].includes(action);
  field.pattern = {merge: "[0-9]+", split: "[2-9]|[1-9][0-9]+"}[action] ?? ".*[^ ].*";
}
boxes.forEach(fit);
document.getElementById("download").addEventListener("click", () => {
  if (!boxes.every((box) => box.querySelector("input").reportValidity())) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([decisions()], {type: "text/csv"}));
  link.download = "decisions.csv";
  link.click();
});
document.addEventListener("change", (event) => {
  fit(event.target.closest(".cluster"));
  document.getElementById("count").textContent = decisions().trim().split("\n").length - 1;
});
