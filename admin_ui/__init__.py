"""The web panel: server-rendered pages over `node.service`, in four languages, without JavaScript where need be."""
