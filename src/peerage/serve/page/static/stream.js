// The connection to the server. It is made again by itself, however it ended.

// Milliseconds until it is tried again after the server refused; the browser itself waits after other failures.
const PAUSE = 3000;

// Milliseconds without an event after which the connection is taken for dead: the server sends one at least
// every 15 s.
const SILENCE = 45_000;

/**
 * Follow the changes that the server sends, for as long as the page is open.
 *
 * `receive(kind, data)` gets each event; `connected(is, refused)` is told when the
 * connection is made and when it is lost, and whether the server, or a proxy, refused it.
 */
export function follow(receive, connected) {
  const source = new EventSource("v1/changes");
  let heard = Date.now();
  const watchdog = setInterval(() => {
    // A computer that wakes up gets the events that wait first.
    if (Date.now() - heard > SILENCE && source.readyState === EventSource.OPEN) setTimeout(check, 1000);
  }, 5000);

  function check() {
    if (Date.now() - heard > SILENCE) again(0);
  }

  function again(pause) {
    clearInterval(watchdog);
    if (source.readyState !== EventSource.CLOSED) connected(false, false);
    source.close();
    setTimeout(() => follow(receive, connected), pause);
  }

  for (const kind of ["reset", "put", "gone", "status", "timeline"]) {
    source.addEventListener(kind, (event) => {
      heard = Date.now();
      receive(kind, JSON.parse(event.data));
    });
  }
  source.addEventListener("open", () => {
    heard = Date.now();
    connected(true, false);
  });
  source.addEventListener("error", () => {
    // The browser gives up after an answer that isn't 200, such as 503 while there are too many clients.
    const refused = source.readyState === EventSource.CLOSED;
    connected(false, refused);
    if (refused) again(PAUSE);
  });
}
