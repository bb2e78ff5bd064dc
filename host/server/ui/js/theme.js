// Runs before the page is drawn, so that it does not flash in the other colours. No module for that reason.
(function () {
  "use strict";
  let chosen = null;
  try {
    chosen = localStorage.getItem("wasmill-theme");
  } catch {
    // A browser that keeps nothing follows the system.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
