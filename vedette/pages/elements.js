"use strict";
// What both pages are made of. Text from outside is only ever set as text, never as markup.

const KNOWN_SERVICES = ["gateway", "guardrails", "inference"];

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function svg(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function button(words, act) {
  const made = element("button", "", words);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

// Three digits are enough to compare by.
function milliseconds(ms) {
  const size = Math.abs(ms);
  if (size >= 10000) return (ms / 1000).toFixed(1) + " s";
  if (size >= 100) return ms.toFixed(0) + " ms";
  return ms.toFixed(size >= 1 ? 1 : 2) + " ms";
}

function percent(share) {
  return share > 0 && share < 0.005 ? "< 1 %" : `${Math.round(100 * share)} %`;
}

function clock(ms) {
  return new Date(ms).toLocaleTimeString("en-GB");
}

function serviceClass(service) {
  return "service-" + (KNOWN_SERVICES.includes(service) ? service : "other");
}

function serviceKey(service) {
  const made = element("span", "key " + serviceClass(service));
  made.append(element("span", "dot"), service);
  return made;
}

// Every outcome is one of four kinds, so that colours stay few.
function kindOf(outcome) {
  if (["stop", "length", "ok"].includes(outcome)) return "good";
  return ["blocked", "error"].includes(outcome) ? outcome : "other";
}

function outcomePill(outcome) {
  const kind = kindOf(outcome);
  return element("span", kind === "good" ? "quiet" : "pill is-" + kind, outcome.replaceAll("_", " "));
}

function badge([text, className]) {
  return element("span", "badge " + className, text);
}

// "GuardrailsService/CheckText" as "guardrails/CheckText", and as "CheckText" where its service shows.
function callName(shortName) {
  return shortName.replace(/(\w+)Service\//, (_, service) => service.toLowerCase() + "/");
}

function methodName(shortName) {
  return shortName.replace(/\w+Service\//, "");
}
