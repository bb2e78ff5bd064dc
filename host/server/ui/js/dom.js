// Making and changing elements. Data becomes text and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

/** An HTML element: attributes, `text`, and listeners as `onclick`. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Changes a text only where it differs, so that a selection or a screen reader is not disturbed. */
export function setText(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** The same for an attribute; null takes it away. */
export function setAttr(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else {
    const wanted = value === true ? "" : String(value);
    if (element.getAttribute(name) !== wanted) element.setAttribute(name, wanted);
  }
}

/**
 * Makes the children of `parent` those of `items`, keeping the element of an item that was there before: focus,
 * open details and scroll positions stay. `create(item)` makes one, `update(element, item)` brings it up to date.
 */
export function keyed(parent, items, keyOf, create, update) {
  const before = parent.keyedElements ?? new Map();
  const now = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    if (now.has(key)) continue;
    const element = before.get(key) ?? create(item);
    update?.(element, item);
    now.set(key, element);
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
  }
  for (const [key, element] of before) if (!now.has(key)) element.remove();
  parent.keyedElements = now;
}

/** Empties an element that `keyed` may have filled. */
export function clear(element) {
  element.replaceChildren();
  element.keyedElements = undefined;
}
