// The connection to the server. It is made again by itself, however it ended.

// Milliseconds until it is tried again after the server refused; the browser itself waits after other failures.
const PAUSE = 3000;

/**
 * Follow the changes that the server sends, for as long as the page is open.
 *
 * `receive(kind, data)` gets each event; `connected(is)` is told when the connection is made and when it is lost.
 */
export function follow(receive, connected) {
  const source = new EventSource("v1/changes");
  for (const kind of ["reset", "put", "gone", "status", "timeline"]) {
    source.addEventListener(kind, (event) => receive(kind, JSON.parse(event.data)));
  }
  source.addEventListener("open", () => connected(true));
  source.addEventListener("error", () => {
    connected(false);
    // The browser gives up after an answer that isn't 200, such as 503 while there are too many clients.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => follow(receive, connected), PAUSE);
    }
  });
}
