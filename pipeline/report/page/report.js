"use strict";
// Plays clips, and filters and sorts the queries. Without it the page shows every query in order.
(() => {
  const STEP = 12;
  const sounds = JSON.parse(document.getElementById("sounds").textContent);
  const status = document.getElementById("status");

  // Sounds: one player for the whole page.
  const player = new Audio();
  let playing = null;
  const stop = () => {
    player.pause();
    if (playing) playing.setAttribute("aria-pressed", "false");
    playing = null;
  };
  const failed = () => {
    stop();
    status.textContent = "This sound cannot be played here.";
  };
  player.addEventListener("ended", stop);
  player.addEventListener("error", failed);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-sound]");
    if (!button) return;
    const again = button === playing;
    stop();
    if (again) return;
    playing = button;
    button.setAttribute("aria-pressed", "true");
    player.src = sounds[button.dataset.sound];
    player.play().catch(failed);
  });
  for (const button of document.querySelectorAll("button[data-sound]")) {
    button.setAttribute("aria-pressed", "false");
  }

  // Queries: filter, order, and as many as fit on a few screens.
  const list = document.getElementById("queries");
  if (!list) return;
  const form = document.getElementById("choose");
  const filters = [...form.querySelectorAll("select[data-filter]")];
  const order = document.getElementById("order");
  const more = document.getElementById("more");
  const cards = [...list.children];
  const reset = document.createElement("button");
  reset.type = "button";
  reset.id = "reset";
  reset.textContent = "Show all queries";
  form.append(reset);
  const fields = [...filters, order];
  const nameOf = (field) => field.dataset.filter || "order";
  let shown = STEP;

  // Paper has no filters: it says which ones chose the queries.
  const printed = document.createElement("p");
  printed.className = "printed note";
  list.before(printed);

  const matching = () =>
    cards.filter((card) => filters.every(({ dataset, value }) => !value || card.dataset[dataset.filter] === value));
  const sorted = (found) => {
    const by = { worst: 1, best: -1 }[order.value];
    if (!by) return found;
    return found.slice().sort((a, b) => by * (Number(a.dataset.ap) - Number(b.dataset.ap)));
  };
  const show = () => {
    const found = sorted(matching());
    for (const card of cards) {
      card.hidden = true;
      card.toggleAttribute("data-unmatched", !found.includes(card));
    }
    const chosen = filters
      .filter(({ value }) => value)
      .map((filter) => `${filter.parentElement.firstChild.textContent.trim()}: ${filter.selectedOptions[0].textContent}`);
    printed.hidden = !chosen.length;
    printed.textContent = `Chosen by ${chosen.join("; ")}: ${found.length} of ${cards.length} queries.`;
    found.forEach((card, place) => {
      card.hidden = place >= shown;
      list.append(card);
    });
    const visible = Math.min(shown, found.length);
    const all = cards.length === found.length ? "" : ` that match, of ${cards.length}`;
    const none = "No query matches this choice.";
    document.getElementById("count").textContent = found.length ? `${visible} shown of ${found.length}${all}.` : none;
    more.hidden = visible === found.length;
    const left = found.length - visible;
    more.textContent = left > STEP ? `Show ${STEP} more of ${left}` : `Show the last ${left}`;
    reset.hidden = filters.every(({ value }) => !value);
  };
  // The choice is the fragment of the address, which a page on a disk may change as well.
  const keep = () => {
    const chosen = fields.filter(({ value }) => value).map((field) => [nameOf(field), field.value]);
    history.replaceState(null, "", `#choose?${new URLSearchParams(chosen)}`);
  };
  const recall = () => {
    if (!location.hash.startsWith("#choose?")) return;
    const chosen = new URLSearchParams(location.hash.slice("#choose?".length));
    for (const field of fields) {
      const value = chosen.get(nameOf(field)) || "";
      field.value = [...field.options].some((option) => option.value === value) ? value : "";
    }
    shown = STEP;
    show();
  };
  const follow = () => {
    recall();
    const card = cards.find(({ id }) => id && `#${id}` === location.hash);
    for (const one of cards) one.classList.toggle("linked", one === card);
    if (!card) return;
    if (card.hidden) {
      for (const filter of filters) filter.value = "";
      shown = Math.max(shown, sorted(cards).indexOf(card) + 1);
      show();
    }
    card.scrollIntoView({ block: "start", behavior: "instant" });
    card.focus({ preventScroll: true });
  };

  form.hidden = false;
  form.addEventListener("change", () => {
    shown = STEP;
    show();
    keep();
  });
  reset.addEventListener("click", () => {
    for (const filter of filters) filter.value = "";
    shown = STEP;
    show();
    keep();
    filters[0].focus();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => {
    const first = shown;
    shown += STEP;
    show();
    const next = sorted(matching())[first];
    if (next) next.focus({ preventScroll: true });
  });
  window.addEventListener("hashchange", follow);
  show();
  follow();
})();
