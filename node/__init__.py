"""One organisation's daemon: storage, links, circles, cases, minimisation, API and CLI behind one `service`."""
