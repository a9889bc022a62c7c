// What the panel adds when scripts run; every page works without this file.
"use strict";

// htmx notes the address of the page at its start; nothing about what was read stays in the browser.
sessionStorage.clear();

// The reader's zone, so that the server writes times in it.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.includes(`almenara_zone=${zone}`)) {
  document.cookie = `almenara_zone=${zone}; path=/; SameSite=Strict; max-age=31536000`;
}

// Live pages: events carry a kind and an identifier; parts of the page that care fetch themselves again (htmx).
function follow() {
  const { live, sayInbox, sayDelivery } = document.body.dataset;
  if (!live) return;
  const say = { inbox: sayInbox, delivery: sayDelivery };
  const waiting = new Set();
  let seen = document.body.dataset.seen;
  let source = null;
  // A burst of changes is one refresh.
  const tell = (kind) => {
    if (!waiting.size) setTimeout(tellAll, 150);
    waiting.add(kind);
  };
  const tellAll = () => {
    const announcement = document.getElementById("announcement");
    for (const kind of waiting) {
      document.body.dispatchEvent(new CustomEvent(`almenara-${kind}`));
      if (say[kind] && document.querySelector("[data-announce]")) announcement.textContent = say[kind];
    }
    waiting.clear();
  };
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(`${live}?after=${seen}`);
    for (const kind of ["inbox", "delivery", "peers", "circles", "cases", "status"]) {
      source.addEventListener(kind, (event) => {
        seen = event.lastEventId;
        tell(kind);
      });
    }
    source.addEventListener("ended", () => {
      close();
      tell("status");
    });
  };
  const close = () => {
    if (source) source.close();
    source = null;
  };
  // A hidden page gives its connection back: a browser has only six for one address.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
    } else {
      open();
    }
  });
  // Where the stream does not get through, ask every half minute.
  setInterval(() => {
    if (!document.hidden && (!source || source.readyState !== EventSource.OPEN)) tell("status");
  }, 30000);
  open();
}

// A new case has an address from its first save on.
document.addEventListener("htmx:afterRequest", (event) => {
  const address = event.detail.xhr.getResponseHeader("Almenara-Address");
  if (address) history.replaceState(null, "", address);
});

// A form goes once; the server makes sure of it too.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.dataset.gone) {
    event.preventDefault();
    return;
  }
  form.dataset.gone = "yes";
  setTimeout(() => delete form.dataset.gone, 8000);
});

document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const text = document.getElementById(copy.dataset.copy).textContent.trim();
    navigator.clipboard.writeText(text).then(() => {
      copy.querySelector("span").textContent = copy.dataset.copied;
    });
  }
  // One menu at a time, and none once the eye is elsewhere.
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// Quick exit: the page itself goes out of the history, whatever the network does.
for (const form of document.querySelectorAll("form[data-leave]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), keepalive: true, redirect: "manual" });
    location.replace("/away");
  });
}

window.addEventListener("load", follow);
