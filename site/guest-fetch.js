// What the guest of a live machine asks for, fetched by the browser and handed to the engine as it is wanted. No cookies go with it, and of the page's
// address the site alone (`Origin`), which every such request has.

/// Fetches under way, by the engine's number of them: how to end each, and who waits for room.
const running = new Map();

/// Begins what the engine wants to have fetched, ends what nobody wants any more, and goes on with what has room again. `tell` runs an
/// action on the engine and gives it a turn. Called after each turn.
export function serveGuest(engine, tell) {
  for (let id = engine.take_abort(); id !== undefined; id = engine.take_abort()) {
    const fetching = running.get(id);
    fetching?.controller.abort();
    fetching?.goOn?.();
  }
  for (let text = engine.take_fetch(); text !== undefined; text = engine.take_fetch()) {
    run(engine, JSON.parse(text), engine.take_fetch_body(), tell);
  }
  for (const [id, { goOn }] of running) {
    if (goOn !== undefined && engine.fetch_room(id) > 0) {
      goOn();
    }
  }
}

async function run(engine, { id, method, url, headers, follows_redirects: followsRedirects }, body, tell) {
  const fetching = { controller: new AbortController(), goOn: undefined };
  running.set(id, fetching);
  /// What the engine answers to a question; undefined when it is gone.
  const ask = (question) => {
    let answer;
    tell((engine) => (answer = question(engine)));
    return answer;
  };
  try {
    const answered = fetch(secured(url), {
      method,
      headers,
      // None at all where there is none: GET may not have one, not even an empty one.
      body: body.length > 0 ? body : undefined,
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
      redirect: followsRedirects ? 'follow' : 'error',
      // The guest has caches of its own.
      cache: 'no-store',
      signal: fetching.controller.signal,
    });
    // The browser has its own copy.
    body = undefined;
    const response = await answered;
    const lines = JSON.stringify([...response.headers]);
    let isWanted = ask((engine) => engine.fetch_head(id, response.status, response.statusText, lines));
    const reader = response.body?.getReader();
    while (isWanted && reader !== undefined) {
      while (isWanted && engine.fetch_room(id) === 0) {
        await new Promise((resolve) => (fetching.goOn = resolve));
        fetching.goOn = undefined;
        isWanted = !fetching.controller.signal.aborted;
      }
      const { done, value } = await reader.read();
      if (done) {
        break;
      }
      isWanted = ask((engine) => engine.fetch_body(id, value));
    }
    if (isWanted) {
      tell((engine) => engine.fetch_end(id));
    } else {
      await reader?.cancel();
    }
  } catch (error) {
    tell((engine) => engine.fetch_failed(id, sentence(error)));
  } finally {
    running.delete(id);
  }
}

/// By HTTPS where the page came by it: a browser would refuse the other, except of this computer's own servers.
function secured(text) {
  const url = new URL(text);
  const isOwn = url.hostname === '127.0.0.1' || url.hostname === '[::1]' || /(^|\.)localhost$/.test(url.hostname);
  if (self.location.protocol === 'https:' && url.protocol === 'http:' && url.port === '' && !isOwn) {
    url.protocol = 'https:';
  }
  return url;
}

function sentence(error) {
  const text = String(error?.message ?? error).trim();
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
