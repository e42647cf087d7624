// Requests to the monitor. Addresses are relative to the page, so a path prefix needs no setting.

import {ask, h} from './dom.js';

let token = sessionStorage.getItem('token');

/** What went wrong and what to do about it, both as the server said. */
export class Failure extends Error {
  constructor(text, advice, status = 0) {
    super(text);
    this.advice = advice;
    this.status = status;
  }
}

/** What is asked of a metric's past, as a key. */
export const question = ({metric, target, labels}) => [metric, target || '', ...labels.map((pair) => pair.join('='))].join('\n');

const address = (path, query) => {
  const url = new URL('api/' + path, document.baseURI);
  for (const [key, value] of Object.entries(query || {})) {
    if (value != null && value !== '') url.searchParams.set(key, value);
  }
  return url;
};

async function request(method, path, {query, body, signal} = {}) {
  const headers = {};
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (token && method !== 'GET') headers.authorization = 'Bearer ' + token;
  let answer;
  try {
    answer = await fetch(address(path, query), {method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failure('The monitor does not answer.', 'The page tries again by itself.');
  }
  if (answer.status === 401 && method !== 'GET') {
    token = await askToken();
    if (token) return request(method, path, {query, body, signal});
  }
  const text = await answer.text();
  let json = null;
  try { json = text ? JSON.parse(text) : null; } catch { /* A proxy's page: the status says enough. */ }
  if (!answer.ok) throw new Failure(json?.error || 'The monitor answered ' + answer.status + '.', json?.do, answer.status);
  return json;
}

async function askToken() {
  const fields = await ask('A token is needed', h('label', 'This monitor lets only those with its token change anything.',
    h('input', {name: 'token', type: 'password', autocomplete: 'current-password', required: true, autofocus: true})), {ok: 'Use it'});
  if (fields) sessionStorage.setItem('token', fields.token);
  return fields?.token;
}

export const get = (path, query, signal) => request('GET', path, {query, signal});
export const post = (path, body) => request('POST', path, {body});
export const put = (path, body) => request('PUT', path, {body});
export const del = (path) => request('DELETE', path);
