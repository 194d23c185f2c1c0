"""The least that Django can do for a survey step: one page, one form, one row for each that is
sent. What Refract takes longer than this is Refract's own."""
