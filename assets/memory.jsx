// What was typed and chosen on a page, kept in its tab: the server may be killed, or lost for a while
// and met again as another one's, and all that it knew of the tab is gone. Never what is secret.
import { useEffect, useRef, useState } from "react";
import { tell } from "$/public/acting.jsx";

const PREFIX = "engine ";
const MOST = 40; // things kept in a tab, the newest
const LONGEST = 200_000; // characters of one
const here = typeof window !== "undefined";

function ours() {
  return Object.keys(sessionStorage).filter((key) => key.startsWith(PREFIX));
}
function remember(key, what) {
  try {
    const text = JSON.stringify({ at: Date.now(), what });
    if (text.length > LONGEST) return;
    sessionStorage.setItem(PREFIX + key, text);
    const all = ours();
    if (all.length > MOST) {
      const age = (one) => JSON.parse(sessionStorage.getItem(one)).at;
      all.sort((a, b) => age(a) - age(b)).slice(0, all.length - MOST).forEach((one) => sessionStorage.removeItem(one));
    }
  } catch { /* full, or forbidden: the page works without */ }
}
function recall(key) {
  try { return JSON.parse(sessionStorage.getItem(PREFIX + key))?.what ?? null; } catch { return null; }
}
function forget(key) {
  try { sessionStorage.removeItem(PREFIX + key); } catch { /* as above */ }
}
// Whoever signs in next in this tab may be somebody else.
export function forgetAll() {
  try { ours().forEach((key) => sessionStorage.removeItem(key)); } catch { /* as above */ }
}

// A choice that only the browser knows.
export function useKept(key, first) {
  const [value, setValue] = useState(first);
  useEffect(() => setValue(recall(key) ?? first), [key]);
  return [value, (next) => { setValue(next); remember(key, next); }];
}

// ---- A form, by the ids of its fields: their places differ from version to version. The key that names
// the filling in is kept, too: what was sent just before the server died is meant once.
const named = (field) => (field.type === "hidden" ? field.dataset.kept : field.id);
const open = (field) => named(field) && field.type !== "password" && field.dataset.secret !== "true";
function written(form) {
  const values = {};
  let secrets = false;
  for (const field of form.elements) {
    if (field.type === "password") secrets ||= field.value !== field.defaultValue;
    if (!open(field)) continue;
    values[named(field)] = field.type === "checkbox" ? field.checked
      : field.tagName === "SELECT" ? field.selectedOptions[0]?.text ?? "" : field.value;
  }
  return { values, secrets };
}
function fill(form, { values, secrets }) {
  for (const field of form.elements) {
    if (secrets && field.type === "password") field.value = "";
    if (!open(field) || !(named(field) in values)) continue;
    const value = values[named(field)];
    if (field.type === "checkbox") field.checked = value;
    else if (field.tagName === "SELECT") {
      const option = [...field.options].find((one) => one.text === value);
      if (option) field.value = option.value;
    } else field.value = value;
  }
  if (secrets) tell("What you typed is here again, but for secrets, which are kept nowhere: type them again.");
}

// Stands in a form whose fields the server does not follow. `drawn` counts the forms that the server has
// drawn since it knows this tab: in its first one what was typed comes back. A `brief` one is forgotten
// once it is sent, and is of this address with its query only.
export function Keep({ name, drawn = 1, mode = "", brief = false, onRecall }) {
  const spot = useRef(null);
  useEffect(() => {
    const { form } = spot.current;
    const path = window.location.pathname;
    const key = `${path}${brief ? window.location.search : ""} ${name}`;
    const save = () => remember(key, { drawn, mode, ...written(form) });
    const kept = recall(key);
    if (!kept) { if (drawn > 1) save(); }
    else if (drawn === 1 && kept.mode !== mode && onRecall) onRecall(kept.mode, kept.values["in-json"] ?? "");
    else if (drawn === 1 || (kept.drawn === drawn && kept.mode === mode)) fill(form, kept);
    else save();
    let sent = false;
    const send = () => { if (brief) forget(key); else save(); sent = true; };
    const note = () => { sent = false; save(); };
    form.addEventListener("input", note);
    form.addEventListener("change", note);
    form.addEventListener("submit", send);
    return () => {
      form.removeEventListener("input", note);
      form.removeEventListener("change", note);
      form.removeEventListener("submit", send);
      if (sent && window.location.pathname !== path) forget(key); // it did what it was for
    };
  }, [name, drawn, mode]);
  return <input type="hidden" ref={spot} disabled />;
}

// What the server knows of a choice, as text that says what it is about; once the server has it no more,
// and knows again what the page is about, it is told.
export function Recall({ chosen, about, onRecall }) {
  const asked = useRef("");
  useEffect(() => {
    if (chosen) {
      asked.current = "";
      remember(`choice ${JSON.parse(chosen).of}`, chosen);
    } else if (about && asked.current !== about) {
      asked.current = about;
      const kept = recall(`choice ${about}`);
      if (kept) onRecall(kept);
    }
  }, [chosen, about]);
  return null;
}
