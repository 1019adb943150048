// The review page. What comes from the run is always set as text, never as HTML.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const $ = (id) => document.getElementById(id);
  const panes = [...document.querySelectorAll(".pane")];
  const strips = [...document.querySelectorAll(".strip")];
  const WORDS = { same: "same", different: "different", unsure: "can’t tell" };
  const MODES = ["lines", "points", "off"];

  let question = null; // { animals: [left, right], submitted, name ... }
  let shown = [null, null]; // the photograph in each pane
  let settles = false; // whether the answer replaces earlier ones of everybody
  let view = { zoom: 1, x: 0.5, y: 0.5 }; // x, y: the point of both photographs in the middle, as shares of their sides
  let found = []; // matches of the two photographs
  let mode = 0;
  let busy = false;

  // ---- talking to the program ---------------------------------------------------------------------------------

  async function ask(path, body) {
    const options = body === undefined ? {} : {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    };
    const reply = await fetch(path, options);
    const content = await reply.json().catch(() => ({}));
    if (!reply.ok) throw new Error(content.error || `the program answered ${reply.status}`);
    return content;
  }

  function tell(text, isError = false) {
    $("status").textContent = text;
    $("status").classList.toggle("error", isError);
  }

  async function send(path, body, saying) {
    if (busy) return;
    busy = true;
    lock();
    tell(saying);
    try {
      const state = await ask(path, body);
      tell(said(state));
      busy = false;
      show(state);
    } catch (error) {
      busy = false;
      lock();
      const why = error instanceof TypeError ? "the program does not answer; is it still running?" : error.message;
      tell(`Not saved: ${why}`, true);
    }
  }

  function said(state) {
    if (state.saved) return `Saved: ${WORDS[state.saved.said]} (${state.saved.names.join(", ")}).`;
    if (state.undone !== undefined) return state.undone === null ? "There is nothing to undo." : `Undone: ${WORDS[state.undone]}.`;
    return "";
  }

  // ---- a question ---------------------------------------------------------------------------------------------

  function show(state) {
    const done = state.answered;
    const all = done + state.open;
    $("progress").value = all ? done / all : 1;
    const names = state.changed === 1 ? "1 name" : `${state.changed} names`;
    const mine = state.mine === done ? "" : ` (${state.mine} by you)`;
    $("progress-text").textContent = `${done} answered${mine}, about ${state.open} to ask, ${names} changed`;
    showConflicts(state.conflicts);
    pose(state.question, false);
  }

  function pose(next, replaces) {
    question = next;
    settles = replaces;
    $("pair").hidden = !question;
    $("match-text").textContent = "";
    lock();
    if (!question) {
      $("question").textContent = "Nothing is left to ask.";
      $("reason").textContent = "Every answer that could change a name or a group is given. Undo goes back.";
      strips.forEach((strip) => strip.replaceChildren());
      strips.forEach((strip) => { strip.previousElementSibling.hidden = true; });
      return;
    }
    $("question").textContent = "Is this the same animal?";
    $("reason").textContent = reason();
    view = { zoom: 1, x: 0.5, y: 0.5 };
    [0, 1].forEach((side) => {
      strips[side].previousElementSibling.hidden = !question.animals[side].others.length;
      place(side, question.animals[side]);
    });
  }

  function reason() {
    if (settles) return "Your answer replaces all earlier ones about these two photographs.";
    if (question.change === undefined) return "";
    const who = question.submitted === null ? "a new individual" : question.submitted;
    if (question.name === null) {
      const together = question.together ? "grouped as one individual" : "as two individuals";
      const likely = `They show one animal with probability ${question.probability.toFixed(2)}.`;
      return `Both are submitted as new, ${together}. ${likely} Your answer changes the groups with probability ${question.change.toFixed(2)}.`;
    }
    const likely = `${question.name} with probability ${question.probability.toFixed(2)}`;
    return `Submitted: ${who}. The left photograph shows ${likely}. Your answer changes the name with probability ${question.change.toFixed(2)}.`;
  }

  const named = (photo) => photo.identity !== null ? photo.identity : photo.new ? `new individual (${photo.new})` : "no name yet";
  const details = (photo) => [photo.viewpoint, photo.date].filter(Boolean).join(", ");

  function described(side, photo) {
    const more = details(photo);
    return `${side === 0 ? "left" : "right"}: photograph ${photo.image_id}, ${named(photo)}${more ? `, ${more}` : ""}`;
  }

  function place(side, photo) {
    shown[side] = photo;
    const box = panes[side].querySelector(".view");
    const image = panes[side].querySelector("img");
    box.querySelectorAll(".absent").forEach((one) => one.remove());
    image.hidden = false;
    image.alt = described(side, photo);
    image.src = `photograph/${photo.row}/1400`;
    panes[side].querySelector("figcaption").textContent = [photo.image_id, named(photo), details(photo)].filter(Boolean).join(" · ");
    fillStrip(side);
    loadMatches();
  }

  function fillStrip(side) {
    const animal = question.animals[side];
    const all = animal.others.length ? [animal, ...animal.others] : [];
    strips[side].replaceChildren(...all.map((photo) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(photo.row === shown[side].row));
      const image = document.createElement("img");
      image.src = `photograph/${photo.row}/240`;
      image.alt = described(side, photo);
      image.loading = "lazy";
      const text = document.createElement("span");
      text.textContent = details(photo) || photo.image_id;
      button.append(image, text);
      button.addEventListener("click", () => place(side, photo));
      return button;
    }));
  }

  function step(by) {
    if (!question) return;
    const all = [question.animals[1], ...question.animals[1].others];
    const at = all.findIndex((photo) => photo.row === shown[1].row);
    place(1, all[(at + by + all.length) % all.length]);
  }

  async function loadMatches() {
    found = [];
    draw();
    const rows = shown.map((photo) => photo && photo.row);
    if (rows.includes(null)) return;
    const flat = await ask(`matches/${rows[0]}/${rows[1]}`).catch(() => []);
    if (rows.some((row, side) => shown[side].row !== row)) return;
    for (let at = 0; at < flat.length; at += 6) {
      const [x1, y1, x2, y2, sure, flags] = flat.slice(at, at + 6);
      if (flags & 1) found.push({ ends: [[x1 / 1000, y1 / 1000], [x2 / 1000, y2 / 1000]], sure: sure / 100 });
    }
    $("match-text").textContent = found.length ? `${found.length} matching marks agree with one position of the animal.` : "No matching marks.";
    draw();
  }

  function lock() {
    for (const button of document.querySelectorAll("[data-said], [data-do=skip]")) button.disabled = busy || !question;
    document.querySelector("[data-do=undo]").disabled = busy;
  }

  // ---- contradictions -----------------------------------------------------------------------------------------

  function showConflicts(conflicts) {
    const button = $("show-conflicts");
    button.hidden = !conflicts.length;
    button.textContent = conflicts.length === 1 ? "1 contradiction" : `${conflicts.length} contradictions`;
    if (!conflicts.length) $("conflicts").hidden = true;
    $("conflicts").replaceChildren(...conflicts.map((conflict) => {
      const line = document.createElement("div");
      line.className = "conflict";
      const ids = conflict.photographs.map((photo) => photo.image_id);
      const [first, last] = [conflict.photographs[0], conflict.photographs.at(-1)];
      const text = document.createElement("p");
      text.textContent = conflict.by === "answer"
        ? `${ids.join(" = ")}, but ${ids[0]} is not ${ids.at(-1)}: which?`
        : `${ids.join(" = ")}, but ${ids[0]} is ${first.identity} and ${ids.at(-1)} is ${last.identity}: one animal under two names, or a wrong answer?`;
      line.append(text);
      const pairs = ids.slice(1).map((_, at) => [conflict.photographs[at], conflict.photographs[at + 1]]);
      if (pairs.length > 1) pairs.push([first, last]);
      for (const [one, other] of pairs) {
        const open = document.createElement("button");
        open.type = "button";
        open.textContent = `${one.image_id} and ${other.image_id}`;
        open.addEventListener("click", () => reopen(one.row, other.row));
        line.append(open);
      }
      return line;
    }));
  }

  async function reopen(first, second) {
    const next = await ask(`pair/${first}/${second}`).catch((error) => tell(error.message, true));
    if (next) pose(next, true);
  }

  function toggle(id, button) {
    $(id).hidden = !$(id).hidden;
    if (button) button.setAttribute("aria-expanded", String(!$(id).hidden));
  }

  // ---- zoom and matches -----------------------------------------------------------------------------------------

  function fitted(side) {
    const box = panes[side].querySelector(".view");
    const image = panes[side].querySelector("img");
    const [width, height] = [image.naturalWidth || 4, image.naturalHeight || 3];
    const scale = Math.min(box.clientWidth / width, box.clientHeight / height) * view.zoom;
    return { box, image, width: width * scale, height: height * scale };
  }

  function spot({ box, width, height }, [x, y]) {
    return [box.clientWidth / 2 + (x - view.x) * width, box.clientHeight / 2 + (y - view.y) * height];
  }

  function colour(share) {
    const stops = [[79, 141, 255], [53, 208, 186], [255, 225, 77]];
    const at = Math.min(Math.max(share, 0), 1) * 2;
    const low = Math.min(Math.floor(at), 1);
    return `rgb(${stops[low].map((value, channel) => Math.round(value + (stops[low + 1][channel] - value) * (at - low))).join(",")})`;
  }

  function mark(tag, attributes) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  function draw() {
    if (!question) return;
    const fits = [0, 1].map(fitted);
    for (const fit of fits) {
      const [left, top] = spot(fit, [0, 0]);
      Object.assign(fit.image.style, { left: `${left}px`, top: `${top}px`, width: `${fit.width}px`, height: `${fit.height}px` });
    }
    const origin = $("pair").getBoundingClientRect();
    const offset = fits.map(({ box }) => { const at = box.getBoundingClientRect(); return [at.left - origin.left, at.top - origin.top]; });
    const marks = [];
    for (const one of MODES[mode] === "off" ? [] : found) {
      const ends = one.ends.map((end, side) => spot(fits[side], end));
      const inside = ends.every(([x, y], side) => x >= 0 && y >= 0 && x <= fits[side].box.clientWidth && y <= fits[side].box.clientHeight);
      if (!inside) continue;
      const [[x1, y1], [x2, y2]] = ends.map(([x, y], side) => [x + offset[side][0], y + offset[side][1]]);
      const stroke = colour(one.sure);
      if (MODES[mode] === "lines") {
        marks.push(mark("line", { x1, y1, x2, y2, stroke, "stroke-width": 1.2, "stroke-opacity": 0.75 }));
      }
      for (const [cx, cy] of [[x1, y1], [x2, y2]]) marks.push(mark("circle", { cx, cy, r: 3.5, fill: stroke, stroke: "#000", "stroke-width": 0.8 }));
    }
    $("lines").replaceChildren(...marks);
  }

  const inside = (value) => Math.min(Math.max(value, 0), 1);

  function move(side, dx, dy) {
    const { width, height } = fitted(side);
    view.x = inside(view.x - dx / width);
    view.y = inside(view.y - dy / height);
    draw();
  }

  function zoom(factor, side = 0, at = null) {
    const fit = fitted(side);
    const [px, py] = at || [fit.box.clientWidth / 2, fit.box.clientHeight / 2];
    const [dx, dy] = [px - fit.box.clientWidth / 2, py - fit.box.clientHeight / 2];
    const [u, v] = [view.x + dx / fit.width, view.y + dy / fit.height];
    const before = view.zoom;
    view.zoom = Math.min(Math.max(view.zoom * factor, 1), 12);
    const by = view.zoom / before;
    view.x = inside(u - dx / (fit.width * by));
    view.y = inside(v - dy / (fit.height * by));
    if (view.zoom === 1) view = { zoom: 1, x: 0.5, y: 0.5 };
    draw();
  }

  panes.forEach((pane, side) => {
    const box = pane.querySelector(".view");
    const image = pane.querySelector("img");
    const fingers = new Map();
    image.addEventListener("load", draw);
    image.addEventListener("error", () => {
      if (!question) return;
      image.hidden = true;
      const absent = document.createElement("span");
      absent.className = "absent";
      absent.textContent = "photograph missing";
      box.append(absent);
    });
    const local = (event) => { const at = box.getBoundingClientRect(); return [event.clientX - at.left, event.clientY - at.top]; };
    box.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, side, local(event)); }, { passive: false });
    box.addEventListener("pointerdown", (event) => { fingers.set(event.pointerId, local(event)); box.setPointerCapture(event.pointerId); });
    box.addEventListener("pointermove", (event) => {
      if (!fingers.has(event.pointerId)) return;
      const [before, now] = [fingers.get(event.pointerId), local(event)];
      if (fingers.size === 2) {
        const other = [...fingers.entries()].find(([id]) => id !== event.pointerId)[1];
        const apart = (point) => Math.max(8, Math.hypot(point[0] - other[0], point[1] - other[1]));
        zoom(apart(now) / apart(before), side, [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
      } else {
        move(side, now[0] - before[0], now[1] - before[1]);
      }
      fingers.set(event.pointerId, now);
    });
    for (const end of ["pointerup", "pointercancel"]) box.addEventListener(end, (event) => fingers.delete(event.pointerId));
    box.addEventListener("dblclick", (event) => zoom(2, side, local(event)));
  });
  window.addEventListener("resize", draw);

  // ---- buttons and keys -------------------------------------------------------------------------------------------

  const answer = (word) => question && send("answer", { first: shown[0].row, second: shown[1].row, said: word, settles }, "Saving …");
  const actions = {
    undo: () => send("undo", { first: 0 }, "Undoing …"),
    skip: () => question && send("skip", { first: question.animals[0].row }, "Skipping …"),
    matches: () => { mode = (mode + 1) % MODES.length; $("match-mode").textContent = MODES[mode]; draw(); },
    in: () => zoom(1.5),
    out: () => zoom(1 / 1.5),
    whole: () => { view = { zoom: 1, x: 0.5, y: 0.5 }; draw(); },
    help: () => toggle("help", $("show-help")),
    conflicts: () => { if (!$("show-conflicts").hidden) toggle("conflicts"); },
  };
  const keys = {
    s: () => answer("same"), d: () => answer("different"), t: () => answer("unsure"), u: actions.undo, k: actions.skip,
    m: actions.matches, c: actions.conflicts, "+": actions.in, "=": actions.in, "-": actions.out, "0": actions.whole, "?": actions.help,
    ",": () => step(-1), ".": () => step(1),
    ArrowLeft: () => move(0, 60, 0), ArrowRight: () => move(0, -60, 0), ArrowUp: () => move(0, 0, 60), ArrowDown: () => move(0, 0, -60),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && !event.key.startsWith("Arrow")) return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || (event.key.startsWith("Arrow") && view.zoom === 1)) return;
    event.preventDefault();
    act();
  });
  for (const button of document.querySelectorAll("[data-said]")) button.addEventListener("click", () => answer(button.dataset.said));
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => actions[button.dataset.do]());
  $("show-help").addEventListener("click", actions.help);
  $("show-conflicts").addEventListener("click", actions.conflicts);

  ask("state").then(show, (error) => tell(error.message, true));
})();
