// Accessibility in the manner of axe: names, labels, languages, headings, contrast of what is drawn.
const found = [];
const say = (rule, element) => found.push(`${rule}: ${element.outerHTML.slice(0, 120)}`);
if (!document.documentElement.lang) found.push('html-lang');
if (!document.title) found.push('document-title');
const visible = (e) => e.getClientRects().length > 0;
const name = (e) => (e.getAttribute('aria-label') || e.textContent || e.title ||
  [...(e.labels || [])].map((l) => l.textContent).join('') || '').trim();
for (const e of document.querySelectorAll('button, a[href], select, [role=button]')) if (visible(e) && !name(e)) say('name', e);
for (const e of document.querySelectorAll('img')) if (!e.hasAttribute('alt')) say('image-alt', e);
for (const e of document.querySelectorAll('[role=img]')) if (!e.getAttribute('aria-label')) say('role-img-alt', e);
const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
for (const id of new Set(ids)) if (ids.filter((one) => one === id).length > 1) found.push(`duplicate-id: ${id}`);
for (const e of document.querySelectorAll('[aria-labelledby]')) if (!document.getElementById(e.getAttribute('aria-labelledby'))) say('labelledby', e);
if (document.querySelectorAll('main').length !== 1) found.push('landmark-one-main');
if (document.querySelectorAll('h1').length !== 1) found.push('page-has-heading-one');
for (const e of document.querySelectorAll('th')) if (!e.scope) say('th-scope', e);
const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const rgb = (text) => (text.match(/[\d.]+/g) || []).map(Number);
const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0.99) return c; } return [255, 255, 255]; };
for (const e of document.querySelectorAll('p, td, th, dt, dd, span, a, button, h1, h2, text')) {
  if (!visible(e) || !e.textContent.trim() || e.closest('[hidden]') || e.children.length) continue;
  const style = getComputedStyle(e);
  const fore = luminance(rgb(e.namespaceURI.endsWith('svg') ? style.fill : style.color));
  const back = luminance(behind(e.namespaceURI.endsWith('svg') ? e.ownerSVGElement.parentElement : e));
  const ratio = (Math.max(fore, back) + 0.05) / (Math.min(fore, back) + 0.05);
  if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) say(`contrast ${ratio.toFixed(2)}`, e);
}
return found;
