"use strict";
// Texts of models are only ever put in as textContent: nothing in them can become markup.
(() => {
  const ROWS = 12;
  const LONG = 700;
  const CARDS = 12;
  const get = (id) => document.getElementById(id);

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  // Tables that a reader sorts and filters.

  function sortRows(button) {
    const head = button.closest("th");
    const body = button.closest("table").tBodies[0];
    const value = (row) => {
      const cell = row.cells[Number(button.dataset.sort)];
      return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
    };
    // Names go from A to Z at first, numbers from the greatest down.
    const named = [...body.rows].some((row) => row.cells[Number(button.dataset.sort)].tagName === "TH");
    const before = head.getAttribute("aria-sort");
    const down = (before ? before === "descending" : named) ? 1 : -1;
    for (const other of button.closest("thead").querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down < 0 ? "descending" : "ascending");
    const blank = (found) => typeof found === "string" && !/[^\s–]/.test(found);
    const compare = (a, b) => {
      if (blank(a) || blank(b)) return blank(a) - blank(b);
      return down * (typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
    };
    body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b))));
  }

  for (const button of document.querySelectorAll("button[data-sort]")) {
    button.addEventListener("click", () => sortRows(button));
  }
  for (const input of document.querySelectorAll("input[data-filter]")) {
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      for (const table of document.querySelectorAll(`table[data-rows="${input.dataset.filter}"]`)) {
        for (const row of table.tBodies[0].rows) {
          row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
        }
      }
    });
  }

  // Paper shows what a reader could have opened, and leaves it as it was.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of opened) each.open = false;
  });

  // Items, unpacked as they are asked for.

  if (!get("items-sets")) return;
  const unpacked = new Map();

  function unpack(id) {
    if (!unpacked.has(id)) {
      const bytes = Uint8Array.from(atob(get(id).textContent), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
      unpacked.set(id, new Response(stream).json());
    }
    return unpacked.get(id);
  }

  // All that decides what is shown stands in the address, so that a link brings another reader there.
  function readState() {
    const words = new URLSearchParams(location.hash.slice(1));
    const found = (name, otherwise = "") => words.get(name) ?? otherwise;
    return { set: found("set"), id: words.get("id"), q: found("q"), show: found("show", "all"),
             sort: found("sort"), page: Number(found("page", "0")) || 0 };
  }

  function address(state) {
    const words = new URLSearchParams();
    for (const [name, value] of Object.entries(state)) {
      if (value !== null && value !== "" && value !== 0 && !(name === "show" && value === "all")) {
        words.set(name, value);
      }
    }
    return `#${words}`;
  }

  const go = (state) => { location.hash = address(state); };

  function chosen(index, state) {
    const wanted = state.q.toLowerCase();
    const places = index.ids.map((_, place) => place).filter((place) => {
      const text = `${index.ids[place]} ${index.groups[place]} ${index.said[place]}`;
      if (wanted && !text.toLowerCase().includes(wanted)) return false;
      const values = index.values.map((column) => column[place]);
      if (state.show === "differ") return new Set(values.filter((value) => value !== null)).size > 1;
      return state.show !== "missing" || values.includes(null);
    });
    if (!state.sort) return places;
    const down = state.sort.startsWith("-") ? -1 : 1;
    const column = index.values[Number(state.sort.replace("-", "")) - 1] ?? [];
    const rank = (place) => column[place] ?? null;
    return places.sort((a, b) => {
      const [x, y] = [rank(a), rank(b)];
      return x === null || y === null ? (x === null) - (y === null) : down * (x - y) || a - b;
    });
  }

  function shownValue(value, kind) {
    if (value === null) return make("span", { class: "range" }, "–");
    if (kind === "preference") {
      const word = { 0: "loss", 0.5: "tie", 1: "win" }[value];
      return make("span", {}, word ?? value.toFixed(2));
    }
    const exact = kind === "score" && (value === 0 || value === 1);
    const look = exact ? { class: value ? "good" : "bad" } : {};
    return make("span", look, exact ? (value ? "✓ 1" : "✗ 0") : String(Number(value.toFixed(2))));
  }

  function heading(columns, state, grouped) {
    const cells = columns.map(([name], place) => {
      const button = make("button", { type: "button", "data-key": `sort ${place}` }, make("bdi", {}, name));
      const own = String(place + 1);
      button.addEventListener("click", () => {
        go({ ...state, sort: state.sort === own ? `-${own}` : state.sort === `-${own}` ? "" : own, page: 0 });
      });
      const sorted = state.sort === own ? "ascending" : state.sort === `-${own}` ? "descending" : "none";
      return make("th", { class: "n", "aria-sort": sorted }, button);
    });
    return make("tr", {}, make("th", {}, "Item"), make("th", {}, "Asked"),
      grouped ? make("th", { class: "of" }, "Of") : null, ...cells);
  }

  function drawList(about, index, places, state) {
    const first = state.page * ROWS;
    const grouped = index.groups.some((group) => group);
    const rows = places.slice(first, first + ROWS).map((place) => {
      const id = index.ids[place];
      const link = make("a", { href: address({ ...state, id }), "data-key": `row ${id}` }, make("bdi", {}, id));
      const cells = index.values.map((column, number) =>
        make("td", { class: "n" }, shownValue(column[place], about.columns[number][1])));
      const row = make("tr", {}, make("th", { scope: "row" }, link),
        make("td", { class: "said", dir: "auto" }, make("span", {}, index.said[place])),
        grouped ? make("td", { class: "of" }, make("bdi", {}, index.groups[place])) : null, ...cells);
      if (id === state.id) row.className = "best";
      return row;
    });
    get("items-head").replaceChildren(heading(about.columns, state, grouped));
    get("items-rows").replaceChildren(...rows);
    const last = Math.min(first + ROWS, places.length);
    const of = places.length === index.ids.length ? "" : `, of ${index.ids.length.toLocaleString("en")} in all`;
    get("items-count").textContent = places.length
      ? `${(first + 1).toLocaleString("en")}–${last.toLocaleString("en")} of ${places.length.toLocaleString("en")}${of}`
      : "No item is like this.";
    get("items-before").disabled = first === 0;
    get("items-after").disabled = last >= places.length;
  }

  const textBlock = (text) => make("div", { class: "text", dir: "auto" }, text || "(empty)");

  function question(text) {
    if (text.length <= LONG) return make("div", { class: "text question", dir: "auto" }, text || "(empty)");
    const size = make("span", { class: "more" }, ` ${text.length.toLocaleString("en")} characters`);
    const brief = make("span", { class: "brief" }, `… ${text.slice(-LONG / 2)}`);
    return make("details", { class: "text question", dir: "auto" }, make("summary", {}, brief, size),
      make("div", { class: "full" }, text));
  }

  function messages(prompt) {
    return prompt.flatMap(([role, text]) =>
      [prompt.length > 1 ? make("div", { class: "role" }, role) : null, question(text)]
    ).filter((part) => part !== null);
  }

  function card(said, number, spoken) {
    const look = said.good === undefined ? "" : said.good ? "good" : "bad";
    const mark = said.good === undefined ? "" : said.good ? "✓ " : "✗ ";
    const facts = (said.facts ?? []).map(([name, fact]) =>
      make("div", fact.length > 60 ? { class: "wide-fact" } : {}, make("dt", {}, name),
        make("dd", { dir: "auto" }, fact)));
    const asked = said.prompt && make("details", { class: "asked" }, make("summary", {}, "asked in other words"),
      ...messages(said.prompt));
    return make("div", { class: `answer series-${(number % 6) + 1}` },
      make("h3", {}, make("span", { class: "run-name" }, make("bdi", {}, said.by)),
        said.outcome ? make("span", { class: `mark ${look}` }, mark + said.outcome) : null),
      said.begun ? make("div", { class: "text range", dir: "auto" }, said.begun) : null,
      said.text || spoken ? textBlock(said.text ?? "") : null,
      facts.length ? make("dl", { class: "facts" }, ...facts) : null, asked || null);
  }

  // First what each said first: of twenty draws the others' first ones do not stand far below.
  function inTurn(said, names) {
    const turns = new Map();
    const turn = said.map((each) => {
      turns.set(each.by, (turns.get(each.by) ?? -1) + 1);
      return turns.get(each.by);
    });
    const order = said.map((_, place) => place);
    order.sort((a, b) => turn[a] - turn[b] || names.indexOf(said[a].by) - names.indexOf(said[b].by));
    return order.map((place) => said[place]);
  }

  function cards(title, said, spoken) {
    if (!said.length) return [];
    const names = [...new Set(said.map((each) => each.by))];
    const shown = (spoken ? inTurn(said, names) : said).map((each) => card(each, names.indexOf(each.by), spoken));
    const more = shown.slice(CARDS);
    return [make("h3", { class: "cards" }, title),
      make("div", { class: "answers" }, ...shown.slice(0, CARDS)),
      more.length ? make("details", { class: "more-cards" }, make("summary", {}, `${more.length} more`),
        make("div", { class: "answers" }, ...more)) : ""];
  }

  async function drawItem(number, index, places, state) {
    const place = index.ids.indexOf(state.id);
    if (place < 0) return get("item").replaceChildren(make("p", { class: "warning" }, "There is no such item."));
    const item = (await unpack(`items-${number}-${Math.floor(place / part)}`))[place % part];
    const at = places.indexOf(place);
    const step = (by, word) => {
      const next = places[at + by];
      return at < 0 || next === undefined ? null : make("a", { href: address({ ...state,
        id: index.ids[next], page: Math.floor((at + by) / ROWS) }), "data-key": word }, word);
    };
    const references = item.references.map((text) => textBlock(text));
    return get("item").replaceChildren(
      make("header", {}, make("a", { href: address({ set: state.set, id: state.id }) }, make("bdi", {}, state.id)),
        make("span", {}, make("bdi", {}, index.groups[place])), step(-1, "← before"), step(1, "after →")),
      ...messages(item.prompt),
      references.length ? make("div", { class: "reference" }, make("span", {}, "right"), make("div", {}, ...references)) : "",
      ...cards("Answers", item.answers, true), ...cards("Verdicts", item.verdicts, false));
  }

  // What the keyboard was on is drawn anew, and the keyboard stays on it.
  function focusAgain(key) {
    const same = get("items").querySelector(`[data-key="${CSS.escape(key)}"]`);
    (same ?? get("item").querySelector("a"))?.focus({ preventScroll: true });
  }

  let sets = [];
  let part = 1;
  let latest = 0;

  async function show() {
    const mine = ++latest;
    const state = readState();
    const asked = location.hash.includes("set=");
    const number = Math.max(0, sets.findIndex((each) => each.name === state.set));
    const about = sets[number];
    state.set = about.name;
    const index = await unpack(`items-${number}`);
    if (mine !== latest) return;
    const places = chosen(index, state);
    const at = state.id === null ? -1 : places.findIndex((place) => index.ids[place] === state.id);
    if (at >= 0 && !location.hash.includes("page=")) state.page = Math.floor(at / ROWS);
    state.page = Math.max(0, Math.min(state.page, Math.ceil(places.length / ROWS) - 1));
    get("items-set").value = String(number);
    if (document.activeElement !== get("items-q")) get("items-q").value = state.q;
    get("items-show").value = ["differ", "missing"].includes(state.show) ? state.show : "all";
    get("items-note").textContent = about.note;
    const held = document.activeElement.dataset.key;
    drawList(about, index, places, state);
    current = state;
    if (state.id === null) get("item").replaceChildren();
    else {
      await drawItem(number, index, places, state);
      if (asked && mine === latest) get("item").scrollIntoView({ block: "nearest" });
    }
    if (held && mine === latest) focusAgain(held);
  }

  let current = readState();
  const change = (more) => go({ ...current, page: 0, ...more });
  get("items-set").addEventListener("change", (event) =>
    go({ set: sets[Number(event.target.value)].name, show: current.show }));
  get("items-q").addEventListener("input", (event) => change({ q: event.target.value }));
  get("items-show").addEventListener("change", (event) => change({ show: event.target.value }));
  get("items-before").addEventListener("click", () => change({ page: current.page - 1, id: null }));
  get("items-after").addEventListener("click", () => change({ page: current.page + 1, id: null }));

  async function start() {
    ({ sets, part } = await unpack("items-sets"));
    get("items-set").replaceChildren(...sets.map((each, number) =>
      make("option", { value: number }, `${each.name} (${each.count.toLocaleString("en")})`)));
    await show();
    get("items").dataset.ready = "yes";
    if (location.hash.includes("set=")) get(current.id === null ? "items" : "item").scrollIntoView();
  }

  addEventListener("hashchange", () => {
    if (location.hash.includes("=")) show();
  });
  start();
})();
