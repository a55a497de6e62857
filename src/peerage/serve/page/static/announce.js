// What is read aloud: instances that failed, together and at most every few seconds.

import { byId, setText } from "./dom.js";
import { clean, count } from "./text.js";

const IMPORTANT = new Map([
  ["vanished", "vanished"],
  ["suspect", "became suspect"],
]);

// Seconds after which a change is history: a page that was just opened doesn't read it out.
const OLD = 30;

// Milliseconds for which changes are collected.
const PAUSE = 3000;

let collected = [];
let waiting = null;

/** Read out an entry of the timeline, if it is important; what happens to the registry is in the banner, which is read out by itself. */
export function announce(moment, now) {
  if (!IMPORTANT.has(moment.what) || now - moment.at > OLD) return;
  collected.push(moment);
  waiting ??= setTimeout(say, PAUSE);
}

function say() {
  waiting = null;
  const sentences = [...IMPORTANT].map(([what, words]) => {
    const moments = collected.filter((moment) => moment.what === what);
    if (moments.length === 0) return "";
    const services = [...new Set(moments.map((moment) => clean(moment.service)))];
    const of = services.length === 1 ? services[0] : count(services.length, "service");
    return `${count(moments.length, "instance")} of ${of} ${words}.`;
  });
  collected = [];
  setText(byId("announcements"), sentences.filter(Boolean).join(" "));
}
