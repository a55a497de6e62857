// The connection to the server. It is made again by itself, however it ended.

// Milliseconds until it is tried again after the server refused; the browser itself waits after other failures.
const PAUSE = 3000;

// Milliseconds without an event after which the connection is taken for dead: the server sends one at least
// every 15 s.
const SILENCE = 45_000;

// Milliseconds between two looks of a page that isn't visible. A browser has six connections to a server for
// all tabs together, so with a connection in each one the seventh tab would show nothing.
const LOOK = 15_000;

/**
 * Follow the changes that the server sends, for as long as the page is open.
 *
 * `receive(kind, data)` gets each event; `connected(is, refused)` is told when the
 * connection is made and when it is lost, and whether the server, or a proxy, refused it.
 * While the page isn't visible, it connects from time to time and takes what it missed.
 */
export function follow(receive, connected, last = "") {
  const source = new EventSource(`v1/changes${last && `?last_event_id=${encodeURIComponent(last)}`}`);
  let heard = Date.now();
  const watchdog = setInterval(() => {
    // A computer that wakes up gets the events that wait first.
    if (Date.now() - heard > SILENCE && source.readyState === EventSource.OPEN) setTimeout(check, 1000);
  }, 5000);
  const watching = new AbortController();

  function check() {
    if (!watching.signal.aborted && Date.now() - heard > SILENCE) again(0);
  }

  function again(pause) {
    if (source.readyState !== EventSource.CLOSED) connected(false, false);
    end();
    setTimeout(() => follow(receive, connected, last), pause);
  }

  function end() {
    clearInterval(watchdog);
    watching.abort();
    source.close();
  }

  /** Let the connection go, since nothing more is known than what was received, until it is time to look. */
  function rest() {
    end();
    const woken = new AbortController();
    const timer = setTimeout(wake, LOOK);
    document.addEventListener("visibilitychange", wake, { signal: woken.signal });

    function wake() {
      clearTimeout(timer);
      woken.abort();
      follow(receive, connected, last);
    }
  }

  let complete = false;
  document.addEventListener(
    "visibilitychange",
    () => {
      if (document.hidden && complete && source.readyState === EventSource.OPEN) rest();
    },
    { signal: watching.signal },
  );

  for (const kind of ["reset", "put", "gone", "status", "timeline"]) {
    source.addEventListener(kind, (event) => {
      heard = Date.now();
      last = event.lastEventId || last;
      receive(kind, JSON.parse(event.data));
      // The server sends the status when it has sent everything.
      complete ||= kind === "status";
      if (kind === "status" && document.hidden) rest();
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
