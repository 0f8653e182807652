// The line between before and after keeps its place from one preview to the next; copying; results come into view.
(() => {
  let split = 50;
  const place = (range) => {
    range.value = split;
    range.parentElement.style.setProperty("--split", `${split}%`);
  };
  document.addEventListener("input", (event) => {
    if (!event.target.matches?.("[data-split]")) return;
    split = event.target.value;
    document.querySelectorAll("[data-split]").forEach(place);
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const code = button.parentElement.querySelector("code");
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      document.execCommand("copy"); // a page that is not served by https
    }
    const text = button.textContent;
    button.textContent = button.dataset.done;
    setTimeout(() => (button.textContent = text), 1500);
  });
  new MutationObserver((changes) => {
    for (const change of changes)
      for (const node of change.addedNodes) {
        if (node.nodeType !== 1) continue;
        node.querySelectorAll("[data-split]").forEach(place);
        const result = node.matches("[data-result]") ? node : node.querySelector("[data-result]");
        result?.scrollIntoView({ behavior: "smooth", block: "nearest" });
      }
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
