// Draws the series of the page with uPlot in place of the server's pictures: the same numbers, with a cursor.
const HEIGHT = 182;
const plots = new Map();
let latest = 0;

/** A colour of the stylesheet as a canvas takes it: `light-dark()` is resolved by the browser. */
function colour(name) {
  const probe = document.createElement("span");
  probe.hidden = true;
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const NAMES = ["ink", "muted", "hair", "baseline", "canary", "bad", "page"];
const colours = () => Object.fromEntries(NAMES.map((name) => [name, colour(`--${name}`)]));
const faint = (rgb, alpha) => rgb.replace(/^rgb\((.*)\)$/, (_, parts) => `rgba(${parts}, ${alpha})`);

/** A region is drawn anew: the plots move over into it, so that nothing flickers. */
export function keepPlots(old, fresh) {
  for (const figure of fresh.querySelectorAll("[data-chart]")) {
    const held = plots.get(figure.dataset.chart);
    if (!held || !old.contains(held.plot.root)) continue;
    const drawn = figure.querySelector(".drawn");
    drawn.querySelector("svg.chart").setAttribute("hidden", "");
    drawn.append(held.plot.root);
    figure.querySelector(".at").textContent = held.plot.root.dataset.at ?? "";
  }
}

export async function drawCharts(region) {
  const holder = region?.querySelector("[data-series]");
  for (const [name, { plot }] of plots) {
    if (!plot.root.isConnected) { plot.destroy(); plots.delete(name); }
  }
  if (!holder || !window.uPlot) return;
  const mine = ++latest;
  let series;
  try {
    const answer = await fetch(holder.dataset.series);
    if (!answer.ok) return;
    series = await answer.json();
  } catch {
    return; // the server's picture stays
  }
  if (mine !== latest || !holder.isConnected || !series.starts.length) return;
  const shades = colours();
  for (const chart of series.charts) {
    const figure = holder.querySelector(`[data-chart="${chart.name}"]`);
    if (figure) draw(figure, chart, series, shades);
  }
}

function draw(figure, chart, series, shades) {
  const drawn = figure.querySelector(".drawn");
  if (!figure.dataset.top) return; // no data: the server's picture says so
  const last = series.starts.at(-1) + series.step_ms;
  const span = [series.starts[0] / 1000, Math.max(last, Number(figure.dataset.end)) / 1000];
  const now = {
    chart, shades, span,
    marks: JSON.parse(figure.dataset.marks),
    top: Number(figure.dataset.top),
    silent: span[1] * 1000 - last > 3 * series.step_ms ? last / 1000 : null,
  };
  const xs = series.starts.map((start) => (start + series.step_ms / 2) / 1000);
  const columns = [chart.baseline.low, chart.baseline.high, chart.canary.low, chart.canary.high, chart.limit, chart.baseline.value, chart.canary.value];
  const data = gaps(xs, columns, series.step_ms / 1000);
  const held = plots.get(chart.name);
  if (held && drawn.contains(held.plot.root)) {
    Object.assign(held.now, now);
    held.plot.setData(data);
    held.plot.redraw(true, true);
    return;
  }
  held?.plot.destroy();
  const picture = drawn.querySelector("svg.chart");
  const plot = new window.uPlot(options(drawn.clientWidth || picture.clientWidth, now), data, drawn);
  plots.set(chart.name, { plot, now });
  picture.setAttribute("hidden", "");
  new ResizeObserver(() => {
    if (plot.root.isConnected) plot.setSize({ width: plot.root.parentElement.clientWidth, height: HEIGHT });
  }).observe(plot.root.parentElement);
}

/** A stretch without spans is a gap, not a line across it. */
function gaps(xs, columns, step) {
  const out = [[], ...columns.map(() => [])];
  xs.forEach((x, i) => {
    if (i && x - xs[i - 1] > 3 * step) {
      out[0].push(xs[i - 1] + step);
      columns.forEach((_, c) => out[c + 1].push(null));
    }
    out[0].push(x);
    columns.forEach((column, c) => out[c + 1].push(column[i]));
  });
  return out;
}

const NB = "\u00a0";

function written(chart, value) {
  if (value == null) return "–";
  if (chart.unit === "part") return `${(100 * value).toFixed(2)}${NB}%`;
  return value >= 1000 ? `${(value / 1000).toFixed(2)}${NB}s` : `${value.toPrecision(3)}${NB}ms`;
}

/** Everything that may change is asked of `now` at each drawing. */
function options(width, now) {
  const shade = (name, alpha) => () => (alpha ? faint(now.shades[name], alpha) : now.shades[name]);
  const font = "12.8px " + getComputedStyle(document.body).fontFamily;
  const axis = { stroke: shade("muted"), font, ticks: { show: false }, grid: { stroke: shade("hair"), width: 1 } };
  const hidden = { show: true, stroke: "transparent", width: 0, points: { show: false } };
  const digits = (ticks) => (ticks[1] - ticks[0] < 60 ? 19 : 16);
  return {
    width,
    height: HEIGHT,
    padding: [30, 0, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: "davylamp" }, points: { size: 7 }, drag: { x: false, y: false } },
    scales: { x: { range: () => now.span }, y: { range: () => [0, now.top] } },
    axes: [
      { ...axis, size: 22, gap: 4, grid: { show: false }, space: 90, values: (_, ticks) => ticks.map((t) => new Date(t * 1000).toISOString().slice(11, digits(ticks))) },
      { ...axis, size: 46, gap: 6, space: 40, values: (_, ticks) => ticks.map((v) => (v ? label(now.chart, v) : "")) },
    ],
    series: [
      {},
      hidden, hidden, hidden, hidden,
      { stroke: shade("ink"), width: 1.3, dash: [1.5, 3.5], points: { show: false }, spanGaps: true },
      { stroke: shade("baseline"), width: 1.75, points: { show: false } },
      { stroke: shade("canary"), width: 2.25, dash: [6, 3], points: { show: false } },
    ],
    bands: [
      { series: [2, 1], fill: shade("baseline", 0.16) },
      { series: [4, 3], fill: shade("canary", 0.17) },
    ],
    hooks: {
      drawClear: [(u) => now.silent && hatch(u, now.silent, faint(now.shades.muted, 0.55))],
      draw: [(u) => drawMarks(u, now.marks, { ...now.shades, font })],
      setCursor: [(u) => tell(u, now.chart)],
    },
  };
}

const label = (chart, value) => (chart.unit === "part" ? `${+(100 * value).toPrecision(2)}${NB}%` : written(chart, value));

/** From the last span to now nothing was counted: hatched, as everywhere on the page. */
function hatch(u, from, stroke) {
  const { ctx, bbox } = u;
  const step = 6 * Math.SQRT2 * devicePixelRatio;
  const x = u.valToPos(from, "x", true);
  ctx.save();
  ctx.beginPath();
  ctx.rect(x, bbox.top, bbox.left + bbox.width - x, bbox.height);
  ctx.clip();
  ctx.strokeStyle = stroke;
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  for (let at = x - bbox.height; at < bbox.left + bbox.width; at += step) {
    ctx.moveTo(at, bbox.top + bbox.height);
    ctx.lineTo(at + bbox.height, bbox.top);
  }
  ctx.stroke();
  ctx.restore();
}

/** Decisions as verticals, as in the server's picture. */
function drawMarks(u, marks, colours) {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.font = colours.font.replace(/^([\d.]+)px/, (_, size) => `${size * ratio}px`);
  for (const { at, text, style, left } of marks) {
    const x = Math.round(u.valToPos(at / 1000, "x", true));
    if (x < bbox.left - 2 || x > bbox.left + bbox.width + 2) continue;
    ctx.strokeStyle = ctx.fillStyle = { x: colours.bad, h: colours.ink }[style] ?? colours.muted;
    ctx.lineWidth = (style === "x" ? 1.5 : 1) * ratio;
    ctx.setLineDash(style ? [] : [ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, 4 * ratio);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.textAlign = left ? "right" : "left";
    ctx.fillText(text, x + (left ? -5 : 5) * ratio, 14 * ratio);
  }
  ctx.restore();
}

/** What stands under the cursor, in the caption. */
function tell(u, chart) {
  const caption = u.root.closest("figure").querySelector(".at");
  const i = u.cursor.idx;
  if (i == null || u.cursor.left < 0) {
    caption.textContent = u.root.dataset.at = "";
    return;
  }
  const time = new Date(u.data[0][i] * 1000).toISOString().slice(11, 19);
  caption.textContent = u.root.dataset.at = `${time}: canary ${written(chart, u.data[7][i])}, baseline ${written(chart, u.data[6][i])}`;
}
