// The chart that is shown as a picture: SVG with its colours in it, PNG from that.
const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "font-weight"];
const HEAD = 34;

export function svgOf(svg, title) {
  const copy = svg.cloneNode(true);
  const [shown, copied] = [[...svg.querySelectorAll("*")], [...copy.querySelectorAll("*")]];
  shown.forEach((element, i) => {
    const style = getComputedStyle(element);
    for (const name of STYLES) copied[i].setAttribute(name, style.getPropertyValue(name));
    copied[i].removeAttribute("class");
  });
  const [width, height] = [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height];
  const { backgroundColor, color } = getComputedStyle(svg.closest(".card"));
  const paper = document.createElementNS(svg.namespaceURI, "rect");
  for (const [name, value] of Object.entries({ x: 0, y: -HEAD, width, height: height + HEAD, fill: backgroundColor })) paper.setAttribute(name, value);
  const heading = document.createElementNS(svg.namespaceURI, "text");
  for (const [name, value] of Object.entries({ x: 8, y: -12, fill: color, "font-size": 15, "font-family": "system-ui, sans-serif" })) heading.setAttribute(name, value);
  heading.textContent = title;
  copy.prepend(paper, heading);
  for (const [name, value] of Object.entries({ width, height: height + HEAD, viewBox: `0 ${-HEAD} ${width} ${height + HEAD}` })) copy.setAttribute(name, value);
  return new XMLSerializer().serializeToString(copy);
}

export async function pngOf(svg, title) {
  const picture = new Image();
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgOf(svg, title))}`;
  await picture.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: picture.width * 2, height: picture.height * 2 });
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
}

// Whether the browser took it: without TLS, except on this machine, it has no clipboard.
export async function copyPicture(svg, title) {
  if (!navigator.clipboard?.write) return false;
  await navigator.clipboard.write([new ClipboardItem({ "image/png": pngOf(svg, title) })]);
  return true;
}
