// The queries of the report. Data is always set as text, never as HTML.
"use strict";
(() => {
  const inline = document.getElementById("data");
  const data = inline ? JSON.parse(inline.textContent) : window.animalclefData;
  const PAGE = 25;
  const SVG = "http://www.w3.org/2000/svg";
  const form = document.getElementById("filters");
  const cards = document.getElementById("cards");
  const dialog = document.getElementById("match");
  const $ = (id) => document.getElementById(id);

  let listed = []; // numbers of the queries that pass the filters, in order
  let page = 0;
  let open = null; // { number, place } of the query and candidate in the dialog

  // ---- elements --------------------------------------------------------------------------------------------

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  function draw(tag, attributes) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  const shown = (value) => (value === null || value === undefined ? "–" : String(value));
  const probability = (value) => (value === null ? "–" : value >= 0.0005 || value === 0 ? value.toFixed(3) : value.toExponential(0));

  function picture(photo, text) {
    if (!photo.source) return make("span", { class: "absent", role: "img", "aria-label": `${text} (missing)` }, "photograph missing");
    const [width, height] = photo.size;
    return make("img", { class: "photo", src: photo.source, alt: text, width, height, loading: "lazy", decoding: "async" });
  }

  // ---- individuals: photographs are drawn when their part of the page is opened -------------------------------

  function fill(part) {
    for (const row of part.querySelectorAll("[data-photographs]:empty")) {
      const photos = row.dataset.photographs.split(" ").map((number) => data.photographs[Number(number)]);
      row.replaceChildren(...photos.map((photo) => picture(photo, `query ${photo.id}`)));
    }
  }

  for (const part of document.querySelectorAll("#individuals details")) {
    if (part.open) fill(part);
    part.addEventListener("toggle", () => fill(part));
  }

  // ---- filters ----------------------------------------------------------------------------------------------

  const searchable = data.queries.map((query) =>
    [data.photographs[query.photo].id, query.answer, query.group, query.truth].filter((text) => text !== null && text !== undefined).join("\n").toLowerCase(),
  );

  function passes(query, number, wanted) {
    const view = data.photographs[query.photo].viewpoint || "-";
    if (wanted.dataset && query.dataset !== wanted.dataset) return false;
    if (wanted.viewpoint && view !== wanted.viewpoint) return false;
    if (wanted.outcome === "errors" && (!query.outcome || query.outcome === "right")) return false;
    if (wanted.outcome && wanted.outcome !== "errors" && query.outcome !== wanted.outcome) return false;
    if (wanted.answer && (query.answer === null) !== (wanted.answer === "new")) return false;
    return !wanted.search || searchable[number].includes(wanted.search);
  }

  const ORDERS = {
    falling: (a, b) => b.probability - a.probability,
    rising: (a, b) => a.probability - b.probability,
    near: (a, b) => Math.abs(a.probability - a.threshold) - Math.abs(b.probability - b.threshold),
  };

  function list() {
    const wanted = Object.fromEntries(new FormData(form));
    wanted.search = (wanted.search || "").trim().toLowerCase();
    listed = data.queries.map((_, number) => number).filter((number) => passes(data.queries[number], number, wanted));
    const order = ORDERS[wanted.order];
    if (order) listed.sort((a, b) => order(data.queries[a], data.queries[b]) || a - b);
    turnTo(0);
  }

  function turnTo(number) {
    const pages = Math.max(1, Math.ceil(listed.length / PAGE));
    page = Math.min(Math.max(number, 0), pages - 1);
    cards.replaceChildren(...listed.slice(page * PAGE, (page + 1) * PAGE).map(card));
    $("count").textContent = `${listed.length.toLocaleString("en")} of ${data.queries.length.toLocaleString("en")} queries`;
    for (const shownPage of document.querySelectorAll(".page-number")) shownPage.textContent = `${page + 1} of ${pages}`;
    for (const button of document.querySelectorAll("[data-page]")) {
      button.disabled = button.dataset.page === "1" ? page === pages - 1 : page === 0;
    }
  }

  // ---- one query ----------------------------------------------------------------------------------------------

  const isSame = (query, photo) => query.truth !== undefined && photo.identity === query.truth;
  const answered = (query) => (query.answer !== null ? query.answer : query.group ? `new individual, ${query.group}` : "new individual");

  const reviewed = { named: "named by a person", excluded: "decided without individuals that a person excluded", grouped: "decided with photographs that a person called the same" };

  function card(number) {
    const query = data.queries[number];
    const photo = data.photographs[query.photo];
    const details = [query.dataset, photo.viewpoint, photo.date].filter(Boolean).join(", ");
    const header = make(
      "header", {},
      make("h3", {}, `${photo.id} → ${answered(query)}`),
      query.outcome ? make("span", { class: `badge ${query.outcome.replace(" ", "-")}` }, query.outcome) : null,
      query.reviewed ? make("span", { class: "badge reviewed" }, reviewed[query.reviewed]) : null,
      data.scores.length ? make("span", {}, `probability of the best individual ${probability(query.probability)}, threshold ${probability(query.threshold)}`) : null,
      query.truth === undefined ? null : make("span", {}, truthOf(query)),
      make("small", {}, details),
    );
    const strip = make("div", { class: "strip" }, ...query.candidates.map((one, place) => candidate(number, one, place)));
    if (!query.candidates.length) strip.append(make("p", {}, "No candidates: this photograph is missing or unreadable, or the database has none to compare it with."));
    const own = make("div", { class: "query" }, picture(photo, `query ${photo.id}`));
    return make("article", { class: "card", tabindex: "-1", "data-query": number, "aria-label": `query ${photo.id}` },
      header, make("div", { class: "row" }, own, strip));
  }

  function truthOf(query) {
    if (!query.known) return `truth: ${query.truth}, not in the gallery`;
    const rank = query.rank === null ? "not among the candidates" : `rank ${query.rank}`;
    return `truth: ${query.truth}, ${rank}`;
  }

  function candidate(number, one, place) {
    const query = data.queries[number];
    const [photoNumber, rank, position, further, individual, single, ...scores] = one;
    const photo = data.photographs[photoNumber];
    const figures = data.scores.map((name, at) => [name, shown(scores[at])]);
    const first = [["prob. individual", probability(individual)], ["prob. photograph", probability(single)]];
    const inliers = figures.filter(([name]) => name === "inliers");
    const same = isSame(query, photo);
    const button = make("button", { type: "button", "data-candidate": place },
      picture(photo, `candidate ${photo.id} of ${shown(photo.identity)}`),
      make("span", { class: "who" }, `${rank}. ${shown(photo.identity)}`),
      same ? make("span", { class: "same-mark" }, "✓ right individual") : null,
      make("small", {}, [`candidate ${position}: ${photo.id}`, photo.viewpoint, photo.date].filter(Boolean).join(", ")),
      further ? make("small", { class: "further" }, `and ${furtherOf(further, photo.identity)}`) : null);
    button.addEventListener("click", () => show(number, place));
    return make("div", { class: `candidate${same ? " same" : ""}` }, button, listOf([...first, ...inliers]),
      make("details", {}, make("summary", {}, "all scores"), listOf(figures.filter(([name]) => name !== "inliers"))));
  }

  const furtherOf = (count, who) => `${count} more photograph${count === 1 ? "" : "s"} of ${shown(who)}`;

  function listOf(figures) {
    const list = make("dl", {});
    for (const [name, value] of figures) list.append(make("dt", {}, name), make("dd", {}, value));
    return list;
  }

  // ---- the match of a pair ------------------------------------------------------------------------------------

  const chunks = new Map(); // number of a file of matches -> promise of its content
  const arrived = new Map();
  window.animalclefMatches = (number, content) => arrived.get(number)(content);

  function matchesOf(number, place) {
    if (data.matches) return Promise.resolve(data.matches[number][place]);
    const file = Math.floor(number / data.chunk);
    if (!chunks.has(file)) {
      chunks.set(file, new Promise((resolve) => {
        arrived.set(file, resolve);
        const script = make("script", { src: `matches/${String(file).padStart(4, "0")}.js` });
        script.addEventListener("error", () => resolve([]));
        document.head.append(script);
      }));
    }
    return chunks.get(file).then((content) => (content[number % data.chunk] || [])[place] ?? null);
  }

  function colour(share) {
    const stops = [[79, 141, 255], [53, 208, 186], [255, 225, 77]];
    const at = Math.min(Math.max(share, 0), 1) * 2;
    const from = stops[Math.min(Math.floor(at), 1)];
    const to = stops[Math.min(Math.floor(at), 1) + 1];
    const part = at - Math.min(Math.floor(at), 1);
    return `rgb(${from.map((value, channel) => Math.round(value + (to[channel] - value) * part)).join(",")})`;
  }

  function unpacked(flat) {
    const found = [];
    for (let at = 0; at < (flat || []).length; at += 6) {
      const [x1, y1, x2, y2, sure, flags] = flat.slice(at, at + 6);
      found.push({ x1, y1, x2, y2, sure: sure / 100, inlier: Boolean(flags & 1), outside: Boolean(flags & 2) });
    }
    return found;
  }

  function frames(left, right) {
    // Place the two photographs side by side or one below the other, whichever shows them larger.
    const [w1, h1] = left.size || [400, 300];
    const [w2, h2] = right.size || [400, 300];
    const [gap, side] = [12, 600];
    const [a, b] = [(w1 / h1) * side, (w2 / h2) * side];
    const beside = { width: a + gap + b, height: side, first: [0, 0, a, side], second: [a + gap, 0, b, side] };
    const [c, d] = [(h1 / w1) * side, (h2 / w2) * side];
    const below = { width: side, height: c + gap + d, first: [0, 0, side, c], second: [0, c + gap, side, d] };
    const room = [dialog.clientWidth || window.innerWidth, window.innerHeight * 0.65];
    for (const one of [beside, below]) one.scale = Math.min(room[0] / one.width, room[1] / one.height);
    const area = (one) => one.scale ** 2 * (one.first[2] * one.first[3] + one.second[2] * one.second[3]);
    return area(beside) >= area(below) ? beside : below;
  }

  function placePhoto(parent, photo, [x, y, width, height], label) {
    if (photo.source) {
      const image = draw("image", { href: photo.source, x, y, width, height, role: "img", "aria-label": label });
      parent.append(image);
      return;
    }
    parent.append(draw("rect", { x: x + 2, y: y + 2, width: width - 4, height: height - 4, fill: "none", stroke: "#889", "stroke-dasharray": "6 6" }));
    const text = draw("text", { x: x + width / 2, y: y + height / 2, fill: "#ccd", "font-size": 22, "text-anchor": "middle" });
    text.textContent = "photograph missing";
    parent.append(text);
  }

  function drawAgreement(svg, place, agreed, at) {
    // This layer lies below the keypoint lines, which stay readable.
    const layer = draw("g", { id: "heat" });
    for (const [number, [x, y, width, height]] of [place.first, place.second].entries()) {
      layer.append(draw("image", { href: agreed.overlays[number], x, y, width, height, preserveAspectRatio: "none" }));
    }
    for (let start = 0; start < agreed.places.length; start += 5) {
      const [u1, v1, u2, v2, weight] = agreed.places.slice(start, start + 5);
      const [[x1, y1], [x2, y2]] = [at(place.first, u1, v1), at(place.second, u2, v2)];
      const width = (1 + weight / 100) / place.scale;
      layer.append(draw("line", { x1, y1, x2, y2, class: "agreed", "stroke-width": width, "stroke-dasharray": `${6 / place.scale} ${4 / place.scale}` }));
    }
    svg.append(layer);
  }

  function drawPair(left, right, found, agreed) {
    const place = frames(left, right);
    const svg = draw("svg", { viewBox: `0 0 ${place.width} ${place.height}`, role: "img" });
    svg.setAttribute("aria-label", `query ${left.id} and candidate ${right.id} of ${shown(right.identity)} with their matches`);
    placePhoto(svg, left, place.first, `query ${left.id}`);
    placePhoto(svg, right, place.second, `candidate ${right.id}`);
    const sure = found.map((one) => one.sure);
    const [low, high] = [Math.min(...sure), Math.max(...sure)];
    const at = ([x, y, width, height], u, v) => [x + (u / 1000) * width, y + (v / 1000) * height];
    if (agreed) drawAgreement(svg, place, agreed, at);
    for (const one of [...found].reverse()) {
      const [x1, y1] = at(place.first, one.x1, one.y1);
      const [x2, y2] = at(place.second, one.x2, one.y2);
      const ink = one.outside ? "#ff5fd2" : colour((one.sure - low) / Math.max(high - low, 1e-6));
      const style = one.inlier ? "inlier" : "outlier";
      const group = draw("g", { class: `found ${style}` });
      group.append(draw("line", { x1, y1, x2, y2, class: "halo", "stroke-width": 4 / place.scale }));
      group.append(draw("line", { x1, y1, x2, y2, stroke: ink, "stroke-width": 1.8 / place.scale }));
      for (const [cx, cy] of [[x1, y1], [x2, y2]]) {
        group.append(draw("circle", { cx, cy, r: 3.5 / place.scale, fill: one.outside ? "none" : ink, stroke: one.outside ? ink : "#000", "stroke-width": 1 / place.scale }));
      }
      svg.append(group);
    }
    $("ramp-ends").textContent = found.length ? `${low.toFixed(2)} to ${high.toFixed(2)}` : "";
    return svg;
  }

  async function show(number, place) {
    open = { number, place };
    const query = data.queries[number];
    const [photoNumber, rank, position, further, individual, single, ...scores] = query.candidates[place];
    const [left, right] = [data.photographs[query.photo], data.photographs[photoNumber]];
    const same = query.truth === undefined ? "" : isSame(query, right) ? " – the same individual" : " – another individual";
    $("match-title").textContent = `query ${left.id} and ${shown(right.identity)} (${right.id}), individual ${rank}, candidate ${position}${same}`;
    stepButtons();
    if (!dialog.open) dialog.showModal();
    const flat = await matchesOf(number, place);
    if (!open || open.number !== number || open.place !== place) return;
    const all = unpacked(flat);
    const found = all.filter((one) => (one.inlier || $("show-outliers").checked) && (!one.outside || $("show-outside").checked));
    $("show-outside").parentElement.hidden = !all.some((one) => one.outside);
    const agreed = place === 0 ? (data.explained || {})[number] : undefined;
    $("show-heat").parentElement.hidden = !agreed;
    $("heat-cosine").textContent = agreed ? `(${agreed.cosine})` : "";
    $("pair").replaceChildren(drawPair(left, right, found, $("show-heat").checked ? agreed : undefined));
    const figures = data.scores.map((name, at) => `${name} ${shown(scores[at])}`).join(", ");
    const count = flat === null ? "The matches of this pair were not kept." : `${found.length} of ${all.length} matches drawn.`;
    const others = further ? ` ${furtherOf(further, right.identity)} among the candidates.` : "";
    $("pair-text").textContent = `${count} Probability of the individual ${probability(individual)}, of this photograph ${probability(single)}; ${figures}.${others}`;
  }

  const withCandidates = () => listed.filter((number) => data.queries[number].candidates.length);

  function stepTo(step) {
    if (step === "close") return dialog.close();
    const { number, place } = open;
    const [queries, count] = [withCandidates(), data.queries[number].candidates.length];
    const at = queries.indexOf(number) + (step === "next-query" ? 1 : step === "previous-query" ? -1 : 0);
    if (step.endsWith("query")) return queries[at] === undefined ? undefined : show(queries[at], 0);
    const next = place + (step === "next" ? 1 : -1);
    return next < 0 || next >= count ? undefined : show(number, next);
  }

  function stepButtons() {
    const queries = withCandidates();
    const at = queries.indexOf(open.number);
    const last = data.queries[open.number].candidates.length - 1;
    const off = { previous: open.place === 0, next: open.place === last, "previous-query": at <= 0, "next-query": at === queries.length - 1 };
    for (const button of dialog.querySelectorAll("[data-step]")) button.disabled = Boolean(off[button.dataset.step]);
  }

  // ---- keys and clicks ----------------------------------------------------------------------------------------

  const cardOf = (number) => cards.querySelector(`[data-query="${number}"]`);

  function focusQuery(position) {
    if (position < 0 || position >= listed.length) return;
    const wanted = Math.floor(position / PAGE);
    if (wanted !== page) turnTo(wanted);
    const element = cardOf(listed[position]);
    element.focus({ preventScroll: true });
    element.scrollIntoView({ block: "center" });
  }

  function focused() {
    const element = document.activeElement && document.activeElement.closest(".card");
    return element ? listed.indexOf(Number(element.dataset.query)) : -1;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox") return;
    if (dialog.open) {
      const step = { ArrowRight: "next", ArrowLeft: "previous", n: "next-query", p: "previous-query" }[event.key];
      if (step) { event.preventDefault(); stepTo(step); }
      return;
    }
    const at = focused();
    if (event.key === "n") focusQuery(at < 0 ? page * PAGE : at + 1);
    else if (event.key === "p") focusQuery(at < 0 ? page * PAGE : at - 1);
    else if (event.key === "Enter" && event.target.classList.contains("card")) {
      const number = Number(event.target.dataset.query);
      event.preventDefault(); // otherwise the key presses the button that gets the focus in the dialog
      if (data.queries[number].candidates.length) show(number, 0);
    }
  });

  dialog.addEventListener("close", () => {
    if (!open) return;
    const { number, place } = open;
    open = null;
    const position = listed.indexOf(number);
    if (Math.floor(position / PAGE) !== page) turnTo(Math.floor(position / PAGE));
    const opener = cardOf(number) && cardOf(number).querySelector(`[data-candidate="${place}"]`);
    if (opener) opener.focus();
  });
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step]");
    if (button) stepTo(button.dataset.step);
    else if (event.target === dialog) dialog.close();
  });
  for (const id of ["show-outliers", "show-outside", "show-heat"]) $(id).addEventListener("change", () => open && show(open.number, open.place));
  window.addEventListener("resize", () => open && show(open.number, open.place));
  for (const button of document.querySelectorAll("[data-page]")) {
    button.addEventListener("click", () => {
      turnTo(page + Number(button.dataset.page));
      if (button.closest(".below")) $("filters").scrollIntoView();
    });
  }
  for (const button of document.querySelectorAll("[data-search]")) {
    button.addEventListener("click", () => {
      form.reset();
      form.elements.search.value = button.dataset.search;
      list();
      $("queries").scrollIntoView();
    });
  }
  form.addEventListener("input", list);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.reset();
  list();
})();
