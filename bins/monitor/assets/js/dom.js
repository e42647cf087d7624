// Elements, icons, dialogs and short notes.

/** An element: `h('p.note', {title: 'x', onclick: f}, 'text', child, [more])`. Text is never read as HTML. */
export function h(name, props, ...children) {
  const [tag, ...classes] = name.split('.');
  const node = document.createElement(tag || 'div');
  if (classes.length) node.className = classes.join(' ');
  if (props && (props.nodeType || typeof props !== 'object' || Array.isArray(props))) {
    children.unshift(props);
    props = null;
  }
  for (const [key, value] of Object.entries(props || {})) {
    if (key.startsWith('aria-') && value != null) { node.setAttribute(key, value); continue; }
    if (value == null || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key === 'style') for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else if (key in node && key !== 'list') node[key] = value;
    else node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.flat(4).filter((child) => child != null && child !== false));
  return node;
}

/** Replaces what stands in `node`. */
export const fill = (node, ...children) => {
  node.replaceChildren(...children.flat(4).filter((child) => child != null && child !== false));
  return node;
};

const PATHS = {
  system: 'M4 5h16v11H4zM9 20h6M12 16v4',
  application: 'M3 12h4l3-8 4 16 3-8h4',
  business: 'M4 20V10M10 20V4M16 20v-7M22 20H2',
  alerts: 'M18 16V10a6 6 0 0 0-12 0v6l-2 2h16zM10 21h4',
  tuning: 'M4 7h10M18 7h2M4 17h2M10 17h10M16 4.500v5M8 14.500v5',
  logs: 'M5 4h14v16H5zM8.500 9h7M8.500 13h7M8.500 17h4',
  more: 'M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600L19 19M5 19l1.400-1.400M17.600 6.400L19 5',
  moon: 'M20 14.500A8 8 0 0 1 9.500 4 8 8 0 1 0 20 14.500z',
  help: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M9.500 9.500a2.500 2.500 0 1 1 3.600 2.300c-.8.400-1.100 1-1.100 1.900M12 17v.01',
  grow: 'M14 4h6v6M10 20H4v-6M20 4l-7 7M4 20l7-7',
  pause: 'M8 5v14M16 5v14',
  play: 'M7 4l13 8-13 8z',
  check: 'M4 12.500l5 5L20 6.500',
  mute: 'M18 16V10a6 6 0 0 0-9.500-4.900M6 10v6l-2 2h12.500M10 21h4M3 3l18 18',
  search: 'M10.500 4a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13M15.500 15.500L21 21',
  close: 'M6 6l12 12M18 6L6 18',
  arrow: 'M5 12h14M13 6l6 6-6 6',
  calm: 'M3 9c3-3.500 6-3.500 9 0s6 3.500 9 0M3 16c3-3.500 6-3.500 9 0s6 3.500 9 0',
};

/** A line icon that takes the text's colour. */
export function icon(name) {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(ns, 'path');
  path.setAttribute('d', PATHS[name] || PATHS.more);
  svg.append(path);
  return svg;
}

/** A note in the corner that leaves by itself. */
export function toast(text, kind = 'info') {
  const list = document.getElementById('toasts');
  const note = h('div.toast.' + kind, {onclick: () => note.remove()}, text);
  list.append(note);
  while (list.children.length > 4) list.firstChild.remove();
  setTimeout(() => note.remove(), kind === 'critical' ? 12000 : 6000);
}

/** What is shown where there is nothing: never a blank page. */
export const empty = (name, title, text, ...more) =>
  h('div.empty', icon(name), h('h3', title), text ? h('p', text) : null, more);

/** Asks; resolves to the form's fields when it is agreed to, else to null. */
export function ask(title, body, {ok = 'OK', danger = false} = {}) {
  return new Promise((resolve) => {
    const form = h('form', {method: 'dialog'}, h('h2', title), body,
      h('div.actions',
        h('button', {type: 'button', onclick: () => dialog.close('')}, 'Cancel'),
        h('button.' + (danger ? 'danger' : 'primary'), {type: 'submit', value: 'ok'}, ok)));
    const dialog = h('dialog', {onclose: () => {
      const agreed = dialog.returnValue === 'ok';
      const fields = agreed ? Object.fromEntries(new FormData(form)) : null;
      dialog.remove();
      resolve(fields);
    }}, form);
    dialog.addEventListener('click', (event) => event.target === dialog && dialog.close(''));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Whether keys belong to what is typed into now. */
export const typing = () => /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName || '');
