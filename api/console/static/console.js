// Keeps the parts of the page that htmx does not: running times, the chart, the name, the state of the link.
(() => {
  "use strict";

  // --- station time runs on between two messages -------------------------------------------------
  let stationMs = 0;
  let readAt = 0;
  let speed = 1;

  function readClock() {
    const clock = document.getElementById("clock");
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
    const clock = document.getElementById("clock");
    if (!clock) return;
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

  // --- the link ---------------------------------------------------------------------------------
  function link(live) {
    const shown = document.getElementById("link");
    shown.textContent = live ? shown.dataset.live : shown.dataset.lost;
    shown.className = live ? "link up" : "link down";
  }

  document.addEventListener("htmx:ws:after:connection", () => link(true));
  document.addEventListener("htmx:ws:close", () => link(false));
  document.addEventListener("htmx:ws:after:message:incoming", (event) => {
    readClock();
    tick();
    const text = event.detail.message.data;
    if (typeof text !== "string" || !text.startsWith('{"power"')) return;
    const message = JSON.parse(text);
    rows = (message.whole ? message.power : rows.concat(message.power)).slice(-POINTS);
    if (chart) draw();
  });

  document.addEventListener("DOMContentLoaded", () => {
    readClock();
    tick();
    setInterval(tick, 500);
    makeChart(document.getElementById("power"));
    const person = document.getElementById("person");
    try {
      person.value = localStorage.getItem("person") ?? "";
      person.addEventListener("change", () => localStorage.setItem("person", person.value));
    } catch {
      // A browser that keeps nothing asks for the name again.
    }
  });
})();
