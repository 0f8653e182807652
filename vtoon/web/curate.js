// Runs once for the grid: `element` stays, what is in it changes. A click, or a key, becomes an event of the page.
let place = 0, mine = false;
const tiles = () => [...element.querySelectorAll(".vc-grid button")];
const plain = () => element.classList.toggle("vc-plain");
const focus = (index) => {
  const all = tiles();
  if (!all.length) return;
  place = Math.min(Math.max(index, 0), all.length - 1);
  all.forEach((tile, i) => (tile.tabIndex = i === place ? 0 : -1));
  all[place].focus();
};
const columns = () => {
  const all = tiles();
  const next = all.findIndex((tile) => tile.offsetTop > all[0].offsetTop);
  return next < 0 ? all.length : next;
};
const act = (tile) => {
  if (!tile || tile.getAttribute("aria-disabled") === "true") return;
  mine = true;
  place = tiles().indexOf(tile);
  trigger("select", { act: "do", name: tile.dataset.name });
};
const STEPS = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -columns(), ArrowDown: () => columns(),
  Home: () => -1e6, End: () => 1e6 };
const COMMANDS = { u: "undo", n: "on", p: "back" };
element.addEventListener("click", (event) => act(event.target.closest("button[data-name]")));
document.addEventListener("keydown", (event) => {
  if (event.target.matches?.("input:not([type=radio]), textarea, select") || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const inside = element.contains(event.target), undo = key === "z" && (event.ctrlKey || event.metaKey);
  if (!undo && (event.ctrlKey || event.metaKey)) return;
  if (STEPS[key] && !event.target.matches?.("input[type=radio]")) focus(inside ? place + STEPS[key]() : place);
  else if ((key === "x" || key === "Delete" || key === "Backspace") && inside) act(event.target.closest("button[data-name]"));
  else if (key === "l") plain();
  else if (undo || COMMANDS[key]) {
    mine = true;
    trigger("select", { act: undo ? "undo" : COMMANDS[key], name: "" });
  } else return;
  event.preventDefault();
});
element.addEventListener("focusin", (event) => {
  const index = tiles().indexOf(event.target.closest("button[data-name]"));
  if (index >= 0) place = index;
});
new MutationObserver(() => {
  if (!mine || element.contains(document.activeElement)) return;
  mine = false;
  focus(place);
}).observe(element, { childList: true, subtree: true });
