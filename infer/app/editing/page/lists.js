// Lists of buttons: the strip of photos, the classes, the regions. KIND is the event that a button triggers.
const made = (tag, values = {}, ...children) => {
  const one = Object.assign(document.createElement(tag), values);
  one.append(...children);
  return one;
};
const labelled = (one, label) => { one.setAttribute("aria-label", label); one.title = label; return one; };
const list = element.querySelector(".list"), search = element.querySelector("input[type=search]");

const rows = {
  photos: (row) => {
    const picture = made("img", { src: row.url, alt: "" });
    const open = made("button", { type: "button", className: "thumb", onclick: () => trigger("choose", { key: row.key }) }, picture);
    const close = made("button", { type: "button", className: "close", textContent: "×", onclick: () => trigger("remove", { key: row.key }) });
    return made("div", { className: "item" }, labelled(open, row.title), labelled(close, `Close ${row.title}`));
  },
  classes: (row) => {
    const inside = [made("span", { textContent: row.title })];
    if (row.url) inside.unshift(made("img", { src: row.url, alt: "", loading: "lazy" }));
    return made("button", { type: "button", className: "class", onclick: () => trigger("choose", { key: row.key }) }, ...inside);
  },
  regions: (row) => {
    const act = (name, sign, label) => labelled(
      made("button", { type: "button", textContent: sign, onclick: () => trigger(name, { key: row.key }) }), `${label}: ${row.title}`,
    );
    const on = labelled(made("input", { type: "checkbox", checked: row.on, onchange: () => trigger("toggle", { key: row.key }) }), `On: ${row.title}`);
    const colour = made("span", { className: "colour" });
    colour.style.background = row.colour;
    const open = made("button", { type: "button", className: "title", onclick: () => trigger("choose", { key: row.key }) }, colour, row.title);
    return made("div", { className: "item row" }, on, open, act("up", "↑", "Earlier"), act("down", "↓", "Later"), act("remove", "×", "Remove"));
  },
};
const strip = (text) => text.normalize("NFKD").toLowerCase();
function show() {
  const found = props.rows || [], wanted = strip(search?.value || "").split(/\s+/);
  const focused = document.activeElement?.closest?.(".list") === list ? document.activeElement.getAttribute("aria-label") : null;
  list.replaceChildren(...found.filter((row) => wanted.every((word) => strip(row.title).includes(word))).map((row) => {
    const one = rows[props.kind](row);
    if (String(row.key) === String(props.chosen)) {
      one.classList.add("chosen");
      (one.matches("button") ? one : one.querySelector("button")).setAttribute("aria-pressed", "true");
    }
    return one;
  }));
  if (focused) [...list.querySelectorAll("[aria-label]")].find((one) => one.getAttribute("aria-label") === focused)?.focus();
}
search?.addEventListener("input", show);
watch(["rows", "chosen"], show);
show();
