/** A chart: lines for those who see, and the same figures as text and as a table for everybody. */
import { useEffect, useId, useRef, useState } from "react";
import UPlot from "uplot";

import { clock, full } from "../../app/view/times";
import type { Point } from "../watch/points";
import { UNIT_WORDS, type ChartKind } from "./charts";
import { figure, tick } from "./figures";

const HEIGHT = 160;
const ROWS = 60; // of the table, the newest
const DAY_SECONDS = 86_400;
const DASHES = [[], [7, 4], [2, 3]]; // so that lines differ not by colour alone
const WITH_SECONDS = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const SYNC = UPlot.sync("desk").key; // the pointer shows the same moment in all of them

interface ChartProps {
  kind: ChartKind;
  points: Point[];
  from: number;
  until: number;
}

export function Chart({ kind, points, from, until }: ChartProps) {
  const titleId = useId();
  const [pointed, setPointed] = useState<number | null>(null);
  const shown = pointed === null ? newest(points, kind) : points[pointed];
  return (
    <figure className="chart" aria-labelledby={titleId}>
      <figcaption>
        <h3 id={titleId}>{kind.title}</h3>
        <small>{UNIT_WORDS[kind.unit]}</small>
      </figcaption>
      <Plot kind={kind} points={points} from={from} until={until} point={setPointed} />
      <ul className="legend">
        {kind.lines.map(({ name, of }, index) => (
          <li key={name}>
            <span className={`swatch line-${index}`} aria-hidden="true" />
            {name} <strong>{figure(shown?.[of] ?? null, kind.unit)}</strong>
          </li>
        ))}
        {pointed !== null && shown && <li className="legend-time">{timeOf(shown.at)}</li>}
      </ul>
      <AsTable kind={kind} points={points} />
    </figure>
  );
}

function Plot({ kind, points, from, until, point }: ChartProps & { point: (index: number | null) => void }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot>(null);
  const range = useRef<[number, number]>([from, until]);
  range.current = [from, until];
  const data = [points.map(({ at }) => at), ...kind.lines.map(({ of }) => points.map((each) => each[of]))];
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const element = box.current!;
    const made = new UPlot(
      optionsOf(kind, element, () => range.current, point),
      latest.current as UPlot.AlignedData,
      element,
    );
    plot.current = made;
    const sizes = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    sizes.observe(element);
    const redraw = () => made.redraw();
    const themes = new MutationObserver(redraw);
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", redraw);
    return () => {
      scheme.removeEventListener("change", redraw);
      themes.disconnect();
      sizes.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [kind, point]);
  useEffect(() => plot.current?.setData(latest.current as UPlot.AlignedData), [points, from, until]);
  return <div ref={box} className="plot" aria-hidden="true" />;
}

function optionsOf(
  { lines, unit }: ChartKind,
  box: HTMLElement,
  span: () => [number, number],
  point: (index: number | null) => void,
): UPlot.Options {
  // A canvas knows no custom properties: what they mean now, in light or dark, is asked of an element that has them.
  const colour = (name: string) => () => {
    box.style.color = `var(${name})`;
    return getComputedStyle(box).color;
  };
  const axis = {
    stroke: colour("--ink-quiet"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: box.clientWidth,
    height: HEIGHT,
    padding: [8, 24, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: SYNC }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
    scales: {
      x: { range: span },
      y: { range: (_plot, _least, most) => [0, Math.max((most ?? 0) * 1.15, unit === "share" ? 0.01 : 1)] },
    },
    axes: [
      { ...axis, size: 26, space: 96, values: (_plot, splits, _axis, _space, step) => splits.map((at) => timeTick(at, step)) },
      { ...axis, size: 46, space: 34, values: (_plot, splits) => splits.map((value) => tick(value, unit)) },
    ],
    series: [
      {},
      ...lines.map(({ name }, index) => ({
        label: name,
        stroke: colour(`--line-${index}`),
        width: 2,
        dash: DASHES[index] ?? [],
        points: { size: 5 }, // where there is room, and where one stands alone
        ...(lines.length === 1 && { fill: colour("--line-fill") }),
      })),
    ],
    hooks: { setCursor: [({ cursor }) => point(cursor.idx ?? null)] },
  };
}

function AsTable({ kind: { title, lines, unit }, points }: { kind: ChartKind; points: Point[] }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        As a table<span className="only-heard">: {title}</span>
      </summary>
      {isOpen && (
        <div className="scrolled" tabIndex={0} role="region" aria-label={`Table: ${title}`}>
          <table>
            <thead>
              <tr>
                <th scope="col">Time</th>
                {lines.map(({ name }) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {points
                .filter((point) => lines.some(({ of }) => point[of] !== null))
                .slice(-ROWS)
                .reverse()
                .map((point) => (
                  <tr key={point.at}>
                    <th scope="row">{timeOf(point.at)}</th>
                    {lines.map(({ name, of }) => (
                      <td key={name}>{figure(point[of], unit)}</td>
                    ))}
                  </tr>
                ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

function newest(points: Point[], { lines }: ChartKind): Point | undefined {
  return points.findLast((point) => lines.some(({ of }) => point[of] !== null));
}

function timeOf(at: number): string {
  const time = new Date(at * 1000);
  return Date.now() - time.getTime() < DAY_SECONDS * 1000 ? WITH_SECONDS.format(time) : full(time.toISOString());
}

function timeTick(at: number, step: number): string {
  const time = new Date(at * 1000);
  const isDate = step >= DAY_SECONDS || (time.getHours() === 0 && time.getMinutes() === 0);
  if (isDate) return DATE.format(time);
  return step < 60 ? WITH_SECONDS.format(time) : clock(time.toISOString());
}
