// What the page does by itself: the link to the server and its age, running times, the chart, the name, the buttons.
(() => {
  "use strict";

  const byId = (id) => document.getElementById(id);

  // --- the age of what is shown -----------------------------------------------------------------
  const SILENT_MS = 2500; // without a message, what is shown is called old
  const OLD_MS = 3000; // since the server last read the database, or last heard the controller
  const RENEW_MS = 10000; // without a message, the connection is made anew
  let heardAt = performance.now();
  let sentMs = 0; // the server's real time at `heardAt`
  let ageMs = 0; // age of the data at `heardAt`
  let aged = "old"; // whose age it is: of the database (old) or of the controller (control)
  let old = ""; // why what is shown is old: silent, old, control; nothing while it is not

  function look() {
    const silent = performance.now() - heardAt;
    const age = ageMs + silent;
    byId("age").textContent = byId("age").dataset.text.replace("{age}", (age / 1000).toFixed(age < 10000 ? 1 : 0));
    old = silent > SILENT_MS ? "silent" : age > OLD_MS ? aged : "";
    document.body.classList.toggle("stale", old !== "");
    const told = byId("stale");
    told.hidden = !old;
    if (old) told.textContent = told.dataset[old].replace("{age}", Math.floor(age / 1000));
  }

  // --- station time runs on between two messages, as long as they come ----------------------------
  let stationMs = 0;
  let readAt = 0;
  let speed = 1;

  function readClock() {
    const clock = byId("clock");
    if (!clock || Number(clock.dataset.now) === stationMs) return;
    stationMs = Number(clock.dataset.now);
    speed = Number(clock.dataset.speed);
    readAt = performance.now();
  }

  function two(value) {
    return String(value).padStart(2, "0");
  }

  function span(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    const rest = `${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
    return s >= 3600 ? `${Math.floor(s / 3600)}:${rest}` : rest.replace(/^0/, "");
  }

  let format = null;
  function tick() {
    const clock = byId("clock");
    if (!clock || old) return;
    const now = stationMs + (performance.now() - readAt) * speed;
    format ??= new Intl.DateTimeFormat("sv-SE", {
      timeZone: clock.dataset.zone, dateStyle: "short", timeStyle: "medium",
    });
    clock.textContent = format.format(now);
    for (const item of document.querySelectorAll("[data-since]")) {
      item.textContent = span((now - Number(item.dataset.since)) / 1000);
    }
  }

  // --- the chart --------------------------------------------------------------------------------
  const POINTS = 360;
  let chart = null;
  let rows = [];

  function draw() {
    const series = (index) => rows.map((row) => [row[0], row[index]]);
    chart.setOption({ series: [{ data: series(1) }, { data: series(2) }, { data: series(3) }] });
  }

  function makeChart(box) {
    const [imported, charging, limit] = JSON.parse(box.dataset.names);
    chart = echarts.init(box, null, { renderer: "canvas" });
    const line = (name, color, more) => ({
      name, type: "line", step: "end", showSymbol: false, color, connectNulls: false, data: [], ...more,
    });
    chart.setOption({
      useUTC: true,
      animation: false,
      grid: { left: 8, right: 14, top: 30, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      legend: { top: 0, right: 0, icon: "roundRect", itemHeight: 3, itemWidth: 18 },
      tooltip: { trigger: "axis", valueFormatter: (v) => (v === null || v === undefined ? "–" : `${Math.round(v)} kW`) },
      xAxis: { type: "time", axisLabel: { hideOverlap: true } },
      yAxis: { type: "value", min: 0, axisLabel: { formatter: "{value} kW" }, splitLine: { lineStyle: { color: "#e3e8ee" } } },
      series: [
        line(imported, "#0b5cad", { lineStyle: { width: 2 }, areaStyle: { opacity: 0.12 } }),
        line(charging, "#1f8a4c", { lineStyle: { width: 2 } }),
        line(limit, "#c62828", { lineStyle: { width: 1.5, type: "dashed" } }),
      ],
    });
    rows = JSON.parse(document.querySelector("main").dataset.power);
    draw();
    new ResizeObserver(() => chart.resize()).observe(box);
  }

  // --- buttons: a press is pending until it is done, failed or expired ----------------------------
  const HOLD_MS = 2000; // a hold that is not confirmed by then calls for the hardware stop
  const presses = new Map(); // newest press by its place on the page; what comes of an earlier one is in the list
  let words = {};
  let pinKinds = [];
  let deadlineMs = 0;

  function show(press, state, text) {
    if (presses.get(press.place) !== press) return;
    press.over = state !== "pending";
    press.state = state;
    press.text = text;
    press.place.hidden = false;
    press.place.className = `notice ${state}`;
    press.place.dataset.state = state;
    const unsure = press.hold && (press.unsure || state === "failed" || state === "expired") ? ` ${words.unsure}` : "";
    press.place.textContent = `${press.label}: ${text}.${unsure}`.replace("..", ".").replace("。.", "。");
  }

  function follow() {
    for (const press of presses.values()) {
      const since = performance.now() - press.at;
      const row = press.request && !old ? byId(`request-${press.request}`) : null;
      const status = row?.dataset.status;
      if (status === "done") {
        press.unsure = false;
        if (press.state !== "done") show(press, "done", row.querySelector(".said").textContent.trim());
      } else if (press.over) {
        continue;
      } else if (status === "refused" || status === "unsure") {
        show(press, "failed", row.querySelector(".said").textContent.trim());
      } else if (status === "expired" || status === "late" || since > deadlineMs + 3000) {
        show(press, "expired", words.expired);
      } else if (press.hold && !press.unsure && since > HOLD_MS) {
        press.unsure = true;
        show(press, "pending", press.text);
      }
    }
  }

  async function send(button, address, fields) {
    const hold = fields.kind === "hold";
    const press = {
      place: byId(hold ? "hold-notice" : "notice"), label: button.textContent.trim(), hold, at: performance.now(),
      request: null, unsure: false, over: false, state: "", text: "",
    };
    presses.set(press.place, press);
    if (!hold && !signedIn()) return show(press, "failed", words.name);
    if (!hold && old) return show(press, "failed", words.old);
    show(press, "pending", words.sending);
    const body = new URLSearchParams({ ...fields, pressed_ms: sentMs + press.at - heardAt });
    try {
      const signal = AbortSignal.timeout(deadlineMs);
      const answer = await fetch(address, { method: "POST", body, signal });
      if (!answer.ok) throw new Error(`${answer.status}`);
      const said = await answer.json();
      press.request = said.request_id ?? null;
      if (!press.over) show(press, said.state, said.message);
      follow();
    } catch (error) {
      show(press, error.name === "TimeoutError" ? "expired" : "failed",
        error.name === "TimeoutError" ? words.expired : words.unsent);
    }
  }

  function act(button, pin) {
    if (button.dataset.fault) return send(button, `/console/faults/${button.dataset.fault}`, {});
    return send(button, "/console/requests", { ...JSON.parse(button.dataset.ask), ...(pin ? { pin } : {}) });
  }

  function signedIn() {
    return byId("person") !== null;
  }

  function wantsPin(button) {
    return button.dataset.ask !== undefined && pinKinds.includes(JSON.parse(button.dataset.ask).kind);
  }

  // --- what moves something is asked for in two steps ----------------------------------------------
  let asked = null; // the button that waits for the second step

  function ask(button) {
    asked = button && { ask: button.dataset.ask, sure: button.dataset.sure };
    byId("sure").hidden = !button;
    byId("pin").value = "";
    if (!button) return;
    const label = button.textContent.trim();
    byId("sure-what").textContent = button.dataset.sure ? `${label}: ${button.dataset.sure}` : label;
    byId("pin-label").hidden = !wantsPin(button);
    byId(wantsPin(button) ? "pin" : "sure-yes").focus();
  }

  function stillThere() {
    return [...document.querySelectorAll("button[data-ask]")].find(
      (button) => button.dataset.ask === asked.ask && button.dataset.sure === asked.sure && !button.disabled,
    );
  }

  function check() {
    const nameless = !signedIn();
    document.body.classList.toggle("nameless", nameless);
    for (const button of document.querySelectorAll("button.motion")) {
      if (!button.title) button.disabled = nameless;
    }
    // What is to be confirmed must still be what would happen.
    if (asked && (old || !stillThere())) ask(null);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.id === "sure-no") ask(null);
    else if (button.id === "sure-yes") {
      const wanted = asked && stillThere();
      const pin = byId("pin").value;
      ask(null);
      if (wanted) act(wanted, pin);
    } else if ((button.dataset.sure || (wantsPin(button) && signedIn())) && !old) ask(button); // on old data nothing is asked for: `send` says so
    else if (button.dataset.ask || button.dataset.fault) act(button);
  });

  // --- the link ---------------------------------------------------------------------------------
  let socket = null;
  let openedAt = 0;
  let tries = 0;

  function link(live) {
    const shown = byId("link");
    shown.textContent = live ? shown.dataset.live : shown.dataset.lost;
    shown.className = live ? "link up" : "link down";
  }

  function open() {
    const address = new URL(document.querySelector("main").dataset.live, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const mine = new WebSocket(address);
    let taken = Promise.resolve();
    socket = mine;
    openedAt = performance.now();
    mine.addEventListener("message", (event) => {
      if (socket === mine) taken = taken.then(() => take(JSON.parse(event.data)));
    });
    mine.addEventListener("close", (event) => {
      if (event.code === 1008 && socket === mine) location.reload(); // the sign-in has ended: the page asks for another
      else lost(mine);
    });
  }

  // A connection whose other end has gone without a word is not waited for.
  function lost(mine) {
    if (socket !== mine) return;
    socket = null;
    mine.close();
    link(false);
    tries += 1;
    setTimeout(open, Math.min(5000, 250 * 2 ** tries));
  }

  function morph(target, text, how) {
    return htmx.swap({
      sourceElement: document.querySelector("main"), target, text, swap: `${how} swapEmpty:false`, transition: false,
    });
  }

  async function take(message) {
    tries = 0;
    link(true);
    if (message.beat) {
      heardAt = performance.now();
      sentMs = message.beat.sent_ms;
      ageMs = message.beat.age_ms;
      aged = message.beat.control ? "control" : "old";
    } else if (message.power) {
      rows = (message.whole ? message.power : rows.concat(message.power)).slice(-POINTS);
      if (chart) draw();
    } else {
      if (!message.cards) await morph(message.target, message.content, "innerMorph");
      const cards = message.cards ? new DOMParser().parseFromString(message.content, "text/html").body.children : [];
      for (const card of [...cards]) await morph(`#${CSS.escape(card.id)}`, card.outerHTML, "outerMorph");
    }
    all();
  }

  function bar() {
    // A server that speaks tells of a controller that is lost or late; what is old says nothing else.
    const told = old === "silent" ? null : byId("bar-control");
    const now = told ?? byId(old ? "bar-stale" : "bar-now");
    if (!now || byId("bar").innerHTML === now.innerHTML) return;
    byId("bar").innerHTML = now.innerHTML;
    byId("bar").parentElement.dataset.tone = now.dataset.tone ?? "bad";
  }

  function all() {
    look();
    readClock();
    tick();
    bar();
    follow();
    check();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const main = document.querySelector("main");
    words = JSON.parse(main.dataset.words);
    sentMs = Number(main.dataset.sent);
    deadlineMs = Number(main.dataset.deadline);
    pinKinds = JSON.parse(main.dataset.pinKinds);
    byId("pin").addEventListener("keydown", (event) => {
      if (event.key === "Enter") byId("sure-yes").click();
    });
    all();
    open();
    setInterval(() => {
      all();
      const quiet = performance.now() - Math.max(heardAt, openedAt);
      if (socket && quiet > RENEW_MS) lost(socket);
    }, 250);
    makeChart(byId("power"));
  });
})();
