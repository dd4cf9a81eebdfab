// What the browser must do by itself between two words of the server: tick, tail, copy, ask.
import { useContext, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { connection, newKey } from "$/public/acting.jsx";
import { forgetAll, useKept } from "$/public/memory.jsx";
import { ColorModeContext } from "$/utils/context";

// ---- One clock: the server's. Its offset comes with each beat of the connection mark.
let offset = 0;
let shown = 0;
const watchers = new Set();
const serverNow = () => Date.now() + offset;
function watch(redraw) {
  watchers.add(redraw);
  return () => watchers.delete(redraw);
}
if (typeof window !== "undefined") {
  setInterval(() => { shown = serverNow(); watchers.forEach((redraw) => redraw()); }, 500);
}
function useNow() {
  useSyncExternalStore(watch, () => shown, () => 0);
  return serverNow();
}

const pad = (number, width = 2) => String(number).padStart(width, "0");
function length(ms) {
  if (ms < 0) ms = 0;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${pad(Math.floor((ms % 60_000) / 1000))} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${pad(minutes % 60)} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
function ago(ms) {
  const ahead = ms < -999;
  const s = Math.abs(ms) / 1000;
  const text = s < 60 ? `${Math.floor(s)} s` : s < 3600 ? `${Math.floor(s / 60)} min`
    : s < 172_800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86_400)} d`;
  if (ahead) return `in ${text}`;
  return s < 1 ? "now" : `${text} ago`;
}
const exact = (us) => new Date(us / 1000).toLocaleString(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  fractionalSecondDigits: 3, timeZoneName: "short",
});
function clock(us, digits) {
  const date = new Date(us / 1000);
  const base = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return digits ? `${base}.${pad(date.getMilliseconds(), 3).slice(0, digits)}` : base;
}

export function Ago({ at }) {
  const now = useNow();
  if (!at) return "–";
  return <time dateTime={new Date(at / 1000).toISOString()} title={exact(at)}>{ago(now - at / 1000)}</time>;
}

export function Clock({ at, digits }) {
  if (!at) return "–";
  return <time dateTime={new Date(at / 1000).toISOString()} title={exact(at)}>{clock(at, digits)}</time>;
}

export function Day({ at }) {
  if (!at) return "–";
  const date = new Date(at / 1000);
  const text = date.toLocaleString(undefined, { weekday: "short", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
  return <time dateTime={date.toISOString()} title={exact(at)}>{text}</time>;
}

export function Took({ start, end }) {
  const now = useNow();
  if (!start) return "–";
  return <span>{length((end ? end / 1000 : now) - start / 1000)}</span>;
}

// ---- The connection mark: four states, each with a word.
const WORDS = {
  live: "Changes appear as they happen.",
  "catching up": "Connected again; reading what happened meanwhile.",
  stale: "Nothing heard for a while: what you see may be old. The engine goes on without this page.",
  offline: "No connection; trying again by itself. The engine goes on without this page.",
};
export function Mark({ beat, errors, behind }) {
  useNow();
  const [heard, setHeard] = useState(0); // when, by this browser's clock; 0: not since it was away
  const [last, setLast] = useState(0);
  const away = errors || (typeof navigator !== "undefined" && navigator.onLine === false);
  useEffect(() => {
    if (!beat) return;
    offset = beat / 1000 - Date.now();
    setHeard(Date.now());
    setLast(Date.now());
  }, [beat]);
  useEffect(() => { if (away) setHeard(0); }, [away]);
  const age = last ? Date.now() - last : 0;
  const word = away ? "offline" : !heard || behind ? "catching up" : age > 5000 ? "stale" : "live";
  useEffect(() => { connection.word = word; return () => { connection.word = ""; }; }, [word]);
  const tail = word === "stale" ? ` · ${length(age)} old` : "";
  return (
    <span className={`mark ${word.split(" ")[0]}`} role="status" title={WORDS[word]}>
      {word}<span aria-hidden="true">{tail}</span>
    </span>
  );
}

// ---- Small things
// What the tab is called; nothing: what the page is called.
export function Title({ text }) {
  useEffect(() => { if (text) document.title = text; }, [text]);
  return null;
}
// Pages over plain HTTP have no clipboard: then the old way, by a selection; a browser may refuse that too.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const box = document.createElement("textarea");
    box.value = text;
    box.style.position = "fixed";
    const back = document.activeElement;
    (document.querySelector("dialog[open]") ?? document.body).append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    back?.focus();
    return done;
  }
}
export function CopyId({ text, short = true }) {
  const [said, setSaid] = useState("");
  const copy = async () => {
    setSaid((await copied(text)) ? "copied" : text);
    setTimeout(() => setSaid(""), 5000);
  };
  return (
    <button type="button" className="plain mono" title={`Copy ${text}`} onClick={copy}>
      {said || (short ? String(text).slice(-8) : text)}<span className="only-reader"> copy</span>
    </button>
  );
}

export function ThemeSwitch() {
  const { rawColorMode, setColorMode } = useContext(ColorModeContext);
  const next = { system: "light", light: "dark", dark: "system" };
  const [ready, setReady] = useState(false);
  useEffect(() => setReady(true), []);
  const mode = ready ? rawColorMode : "system";
  return (
    <button type="button" className="btn s" onClick={() => setColorMode(next[mode] ?? "system")}
      title={`Theme: ${mode}. Press for ${next[mode]}.`}>
      {{ system: "◐", light: "☀", dark: "☾" }[mode]} {mode}<span className="only-reader"> theme</span>
    </button>
  );
}

// Asks once and names what it will touch. The native dialog keeps focus inside and hears Escape.
export function Confirm({ label, title, body, action, danger, primary, ask, onConfirm }) {
  const box = useRef(null);
  const [note, setNote] = useState("");
  const key = useRef("");
  const open = () => { key.current = newKey(); box.current?.showModal(); };
  const close = () => box.current?.close();
  return (
    <>
      <button type="button" className={`btn ${primary ? "p" : ""} ${danger ? "d" : ""}`} onClick={open}>{label}</button>
      <dialog ref={box} aria-label={title} onClick={(event) => event.target === box.current && close()}>
        <h2>{title}</h2>
        <p className="sub">{body}</p>
        {ask ? (
          <div className="field"><label>{ask}<input className="in" maxLength={256} value={note} onChange={(event) => setNote(event.target.value)} /></label></div>
        ) : null}
        <div className="row">
          <button type="button" className="btn" onClick={close}>Back</button>
          <button type="button" data-act="" className={`btn p ${danger ? "d" : ""}`} onClick={() => { close(); onConfirm(note, key.current); }}>{action}</button>
        </div>
      </dialog>
    </>
  );
}

// A dialog with a form in it. Only its buttons and Escape close it: a slip beside it must not lose what was typed.
export function Sheet({ label, title, primary, onOpen, children }) {
  const box = useRef(null);
  const open = () => { box.current?.showModal(); onOpen?.(); };
  return (
    <>
      <button type="button" className={`btn ${primary ? "p" : ""}`} aria-haspopup="dialog" onClick={open}>{label}</button>
      <dialog ref={box} className="sheet" aria-label={title}><h2>{title}</h2>{children}</dialog>
    </>
  );
}
export function SheetBack() {
  return <button type="button" className="btn" onClick={(event) => event.currentTarget.closest("dialog").close()}>Back</button>;
}

// Approve and Reject submit one form; which of them did is written into a field of it first.
export function Verdict({ of: what, name }) {
  const field = useRef(null);
  const say = (word) => () => { field.current.value = word; };
  return (
    <div className="row">
      <input type="hidden" name={name} ref={field} defaultValue="" />
      <button type="submit" data-act="" className="btn p" onClick={say("approve")}>Approve<span className="only-reader"> {what}</span></button>
      <button type="submit" data-act="" className="btn d" onClick={say("reject")}>Reject<span className="only-reader"> {what}</span></button>
    </div>
  );
}

// ---- Timeline: places come from absolute times, so a running bar grows between two words.
function useSpan(start, end) {
  const now = useNow();
  const to = end ? end / 1000 : now;
  const from = start / 1000;
  return [from, Math.max(to - from, 1)];
}
export function Track({ segs, start, end }) {
  const [from, span] = useSpan(start, end);
  const place = (us) => Math.min(Math.max(((us / 1000 - from) / span) * 100, 0), 100);
  return (
    <span className="t" aria-hidden="true">
      {(segs ?? []).map(([kind, a, b], index) => {
        const left = place(a);
        const right = b ? place(b) : 100;
        return <i key={index} className={kind} style={{ left: `${left}%`, width: `${Math.max(right - left, 0)}%` }} />;
      })}
    </span>
  );
}
export function Axis({ start, end }) {
  const [, span] = useSpan(start, end);
  return <div>{[0, 0.25, 0.5, 0.75, 1].map((part) => <span key={part}>{part ? length(span * part) : "0"}</span>)}</div>;
}

// ---- Tails. The server sends only what is new; here it is kept by number, so what comes twice is
// shown once, and a gap is noticed and asked for. Two words that come at once may be drawn as one,
// the second: so the first line there must be is told, too.
const kept = new Map();
function tail(name) {
  if (!kept.has(name)) {
    if (kept.size > 7) kept.delete(kept.keys().next().value);
    kept.set(name, { lines: [], last: null });
  }
  return kept.get(name);
}
function take(store, chunk, first) {
  for (const line of chunk ?? []) {
    store.last ??= Math.min(line[0], first || 1) - 1;
    if (line[0] <= store.last) continue;
    if (line[0] > store.last + 1) return true;
    store.lines.push(line);
    store.last = line[0];
  }
  if (store.lines.length > 20_000) store.lines.splice(0, store.lines.length - 20_000);
  return false;
}
function useTail(name, chunk, first, onGap) {
  const store = tail(name);
  const gap = take(store, chunk, first);
  useEffect(() => { if (gap) onGap(store.last); }, [gap, store.last]);
  return store;
}
export function EventTail({ of, chunk, first, onGap }) {
  const store = useTail(`events ${of}`, chunk, first, onGap);
  const lines = store.lines.slice(-1000).reverse();
  const earlier = lines.length ? lines[lines.length - 1][0] - 1 : 0;
  if (!lines.length) return <div className="empty"><h2>No event yet</h2><p>Every change of status leaves one here, numbered without gaps.</p></div>;
  return (
    <table><thead><tr><th className="num">No.</th><th>Time</th><th>Event</th><th>Step</th><th className="num">Attempt</th><th className="x">Data</th></tr></thead>
      <tbody>{lines.map(([seq, type, where, at, attempt, data]) => (
        <tr key={seq}><td className="num sub">{seq}</td><td className="mono sub nowrap"><Clock at={at} digits={3} /></td><td className="nowrap"><b>{type}</b></td>
          <td>{where || "–"}</td><td className="num">{attempt || "–"}</td><td className="mono sub x">{data}</td></tr>
      ))}{earlier ? <tr><td /><td className="sub" colSpan={5}>{earlier} earlier events: the download of the whole execution has them.</td></tr> : null}</tbody></table>
  );
}
const WEIGHT = { debug: 10, info: 20, warning: 30, error: 40, critical: 50 };
export function LogTail({ of: id, chunk, first, step, filters, tall, onGap }) {
  const [level, setLevel] = useKept(`level ${id} ${tall}`, "debug");
  const [text, setText] = useKept(`find ${id} ${tall}`, "");
  const [follow, setFollow] = useState(true);
  const box = useRef(null);
  const store = useTail(`logs ${id}`, chunk, first, onGap);
  const wanted = store.lines.filter((line) =>
    (!step || line[1] === step) && (WEIGHT[line[3]] ?? 20) >= WEIGHT[level] && (!text || line[4].toLowerCase().includes(text.toLowerCase())));
  const lines = wanted.slice(-2000);
  useEffect(() => { if (follow && box.current) box.current.scrollTop = box.current.scrollHeight; }, [lines.length, follow]);
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    setFollow(scrollHeight - scrollTop - clientHeight < 24);
  };
  return (
    <>
      <div className="hd">Logs <span className="sub">{step || "all steps"}</span><span className="grow" />
        {filters ? (
          <>
            <label className="chip">Level<select aria-label="Lowest level" value={level} onChange={(event) => setLevel(event.target.value)}>
              {["debug", "info", "warning", "error"].map((name) => <option key={name}>{name}</option>)}</select></label>
            <input className="in" style={{ width: 180 }} placeholder="find in logs" aria-label="Find in logs" value={text} onChange={(event) => setText(event.target.value)} />
          </>
        ) : null}
        <button type="button" className="btn s" aria-pressed={follow} onClick={() => setFollow(!follow)}>follow {follow ? "●" : "○"}</button>
      </div>
      <div className={tall ? "log tall" : "log"} ref={box} onScroll={scrolled} tabIndex={0} role="log" aria-label="Log lines" aria-live="off">
        {store.lines.length && store.lines[0][0] > 1 ? <span className="faint">{store.lines[0][0] - 1} earlier lines: find or read them below, or download the log.</span> : null}
        {wanted.length > lines.length ? <span className="faint">The last {lines.length} of {wanted.length} such lines.</span> : null}
        {lines.length ? lines.map(([seq, from, at, name, message]) => (
          <div key={seq} className={name}><Clock at={at} digits={2} /><span className="lv">{name}</span>
            <span className="m">{step ? null : <span className="from">{from}</span>}{message}</span></div>
        )) : <span className="sub">{text || level !== "debug" ? "No line matches." : "Nothing written yet. What a step prints or logs appears here."}</span>}
      </div>
    </>
  );
}

// ---- Keyboard: / search, g m, g w, j k rows, ? help. Never while someone types.
const KEYS = [["/", "search"], ["g m", "go to Monitoring"], ["g a", "go to Approvals"], ["g w", "go to Workflows"], ["j  k", "next and previous row"], ["Enter", "open the row"], ["?", "this help"]];
export function Keys() {
  const help = useRef(null);
  useEffect(() => {
    let before = "";
    const move = (by) => {
      const rows = [...document.querySelectorAll("[data-row] a, a[data-row], button[data-row]")].filter((row, index, all) => row.offsetParent && all.findIndex((other) => other.closest("[data-row]") === row.closest("[data-row]")) === index);
      const at = rows.findIndex((row) => row.closest("[data-row]").contains(document.activeElement));
      rows[Math.min(Math.max(at + by, 0), rows.length - 1)]?.focus();
    };
    const go = (path) => document.querySelector(`.side a[href="${path}"]`)?.click();
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select, dialog[open]")) return;
      const key = before + event.key;
      before = event.key === "g" ? "g" : "";
      const found = document.querySelector("[data-search]");
      if (event.key === "/" && found) { event.preventDefault(); found.focus(); found.select(); }
      else if (event.key === "?") help.current?.showModal();
      else if (key === "gm") go("/monitoring");
      else if (key === "ga") go("/approvals");
      else if (key === "gw") go("/workflows");
      else if (event.key === "j") move(1);
      else if (event.key === "k") move(-1);
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
  return (
    <>
      <button type="button" className="btn s keys" title="Keyboard help" onClick={() => help.current?.showModal()}>? keys</button>
      <dialog ref={help} aria-label="Keyboard" onClick={(event) => event.target === help.current && help.current.close()}>
        <h2>Keyboard</h2>
        <table><tbody>{KEYS.map(([key, what]) => <tr key={key}><td><kbd>{key}</kbd></td><td>{what}</td></tr>)}</tbody></table>
        <div className="row"><button type="button" className="btn" onClick={() => help.current?.close()}>Close</button></div>
      </dialog>
    </>
  );
}

// ---- Sign-in: a native POST. What the address says (where to go next, what went wrong) is read here.
const REFUSALS = {
  credentials: "This name and password do not fit together.",
  limited: "Too many failed attempts. Wait a few minutes and try again.",
};
export function SignIn({ action }) {
  const [asked, setAsked] = useState(new URLSearchParams());
  useEffect(() => { forgetAll(); setAsked(new URLSearchParams(window.location.search)); }, []);
  const refusal = asked.get("error");
  return (
    <form action={action} method="post">
      {refusal ? <p className="cause" role="alert">{REFUSALS[refusal] ?? "Signing in did not work."}</p> : null}
      <input type="hidden" name="next" value={asked.get("next") ?? "/monitoring"} />
      <div className="field"><label htmlFor="name">Name</label><input className="in" id="name" name="name" autoComplete="username" required autoFocus /></div>
      <div className="field"><label htmlFor="password">Password</label><input className="in" id="password" name="password" type="password" autoComplete="current-password" required /></div>
      <button className="btn p" type="submit">Sign in</button>
    </form>
  );
}
