// What keeps a hand that slips from doing harm. A button that acts (data-act) is dead from its first
// click until it was answered, for a second after it has moved (in a list that moves by itself,
// data-steady), and while nobody hears. A second click of a double click hits nothing else.
import { useEffect, useRef, useState, useSyncExternalStore } from "react";

export const connection = { word: "" }; // as the connection mark says it
const STILL = 1000; // ms that a button is dead after it moved
const TWICE = 1000; // ms within which a click at the same place is the second of a double click
const PATIENCE = 20_000; // ms after which a button that was not answered lives again
const here = typeof window !== "undefined";

// ---- A word to whoever clicked in vain.
const told = { text: "", hearers: new Set(), timer: 0 };
export function tell(text) {
  clearTimeout(told.timer);
  told.text = text;
  if (text) told.timer = setTimeout(() => tell(""), 6000);
  told.hearers.forEach((hear) => hear());
}
function hear(listener) {
  told.hearers.add(listener);
  return () => told.hearers.delete(listener);
}
export function Told() {
  const text = useSyncExternalStore(hear, () => told.text, () => "");
  const box = useRef(null);
  // A popover stands above a dialog, too.
  useEffect(() => { if (text) box.current?.showPopover?.(); else box.current?.hidePopover?.(); }, [text]);
  return <div ref={box} popover="manual" className="told" role="status">{text}</div>;
}

// ---- Dead and alive.
const dead = new Map(); // button -> its reasons: busy, moved
function mark(button, reason, on) {
  const reasons = dead.get(button) ?? new Set();
  if (on) reasons.add(reason); else reasons.delete(reason);
  if (reasons.size) { dead.set(button, reasons); button.setAttribute("aria-disabled", "true"); }
  else { dead.delete(button); button.removeAttribute("aria-disabled"); }
}
const busy = (button) => dead.get(button)?.has("busy");
const moved = (button) => dead.get(button)?.has("moved");

let patience = 0;
function begin(button) {
  const group = button.closest("form, dialog");
  for (const one of group ? group.querySelectorAll("[data-act]") : [button]) mark(one, "busy", true);
  clearTimeout(patience);
  patience = setTimeout(release, PATIENCE);
}
function release() {
  for (const button of [...dead.keys()]) mark(button, "busy", false);
}
// Stands where a page counts what it answered: with each answer its buttons live again.
export function Answered({ turn }) {
  useEffect(release, [turn]);
  return null;
}

// Asks what became of a card that was read no more. A component: a list's entries have no hooks.
export function Gone({ of: key, onGone }) {
  useEffect(() => { onGone(key); }, [key]);
  return null;
}

// ---- What moves. A card that is over keeps its height, so that no card below it moves.
const places = new WeakMap();
const lists = new WeakSet();
const heights = new WeakMap();
const timers = new WeakMap();
function still(button) {
  mark(button, "moved", true);
  clearTimeout(timers.get(button));
  timers.set(button, setTimeout(() => mark(button, "moved", false), STILL));
}
function hold(card) {
  if (card.dataset.over !== "true") heights.set(card, card.getBoundingClientRect().height);
  else if (heights.has(card) && card.nextElementSibling?.matches("[data-card]")) card.style.minHeight = `${heights.get(card)}px`;
}
function measure() {
  const all = document.querySelectorAll("[data-steady]");
  for (const list of all) list.querySelectorAll("[data-card]").forEach(hold);
  for (const list of all) {
    for (const button of list.querySelectorAll("[data-act]")) {
      if (button.closest("dialog")) continue; // opened by a hand, not by itself
      const box = button.getBoundingClientRect();
      const now = [box.left + window.scrollX, box.top + window.scrollY];
      const was = places.get(button);
      places.set(button, now);
      if (was ? Math.abs(was[0] - now[0]) + Math.abs(was[1] - now[1]) > 2 : lists.has(list)) still(button);
    }
    lists.add(list);
  }
}

// ---- The hand. Before everybody else hears of a click, Reflex included.
const REFUSED = {
  moved: "The page moved under the pointer just now: nothing was done. Look again, then press.",
  offline: "No connection: nothing was sent. Press again once the page is live.",
  stale: "The server has not been heard for a while: nothing was sent. Press again once the page is live.",
};
let last = { button: null, x: 0, y: 0, at: -TWICE };
function slipped(event, button) {
  const now = performance.now();
  const near = Math.abs(event.clientX - last.x) + Math.abs(event.clientY - last.y) < 10;
  const ways = button.tagName === "A" && last.button?.tagName === "A"; // from page to page: nothing is done
  const second = last.button !== null && now - last.at < TWICE && near && last.button !== button && !ways;
  if (!second) last = { button, x: event.clientX, y: event.clientY, at: now };
  return second;
}
function refuse(event, reason) {
  event.preventDefault();
  event.stopImmediatePropagation();
  if (REFUSED[reason]) tell(REFUSED[reason]);
}
function click(event) {
  const button = event.target.closest?.("button, a");
  if (!button) return;
  const pointed = event.detail > 0; // not a key: that one meant this very button
  if (pointed && slipped(event, button)) return refuse(event, "twice");
  if (!("act" in button.dataset)) return;
  if (busy(button)) return refuse(event, "busy");
  if (pointed && moved(button)) return refuse(event, "moved");
  if (REFUSED[connection.word]) return refuse(event, connection.word);
  begin(button); // aria-disabled alone: a button that is really disabled would not send its form
}
// A form that is sent while nobody hears would be sent later, when it is meant no more.
function submit(event) {
  if (!event.target.hasAttribute("action") && REFUSED[connection.word]) refuse(event, connection.word);
}
// Enter in a line would press the first button of its form. What decides is pressed by itself.
function press(event) {
  if (event.key === "Enter" && event.target.tagName === "INPUT" && event.target.closest("[data-card] form")) event.preventDefault();
}
if (here) {
  window.addEventListener("click", click, true);
  window.addEventListener("submit", submit, true);
  window.addEventListener("keydown", press, true);
  const watch = () => {
    new MutationObserver(measure).observe(document.documentElement, { childList: true, subtree: true, characterData: true });
    window.addEventListener("resize", measure);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", watch); else watch();
}

// ---- What names a filling in: the same form sent twice means one thing, changed it means another.
// Not crypto.randomUUID: browsers have it on HTTPS only.
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
export function FormKey({ name }) {
  const field = useRef(null);
  const [key] = useState(() => (here ? newKey() : ""));
  useEffect(() => {
    const form = field.current.form;
    const renew = () => { field.current.value = newKey(); };
    form.addEventListener("input", renew);
    form.addEventListener("change", renew);
    return () => { form.removeEventListener("input", renew); form.removeEventListener("change", renew); };
  }, []);
  return <input type="hidden" name={name} ref={field} defaultValue={key} data-kept="form key" />;
}

// One of several buttons that send a form. Which it was is written into a field of the form first:
// the form's own entries do not tell.
export function Sender({ does, name, acts, className, children }) {
  const [own] = useState(() => ({ current: null }));
  const say = (event) => {
    for (const field of event.currentTarget.form.elements) if (field.name === name) field.disabled = field !== own.current;
    own.current.value = does;
  };
  return (
    <>
      <input type="hidden" name={name} ref={own} defaultValue={does} disabled={!acts} />
      <button type="submit" className={className} onClick={say} {...(acts ? { "data-act": "" } : {})}>{children}</button>
    </>
  );
}
