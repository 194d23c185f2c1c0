"""Loading a release, Refract's or PRISM's own, into a study that can be looked at and exported."""
