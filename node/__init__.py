"""One organisation's daemon: storage, links, circles, cases, minimisation, API and command line behind one `service`."""
