"""Simulated participants: people drawn from a seed who walk a study through its real pages.

`people` and `words` say who they are and what they write, `pages` reads what a page asks, `filling`
answers it, `walk` is one person at a browser, `crowd` is all of them, `checks` compares what they
sent with what was stored, `server` is a Refract of their own to walk through.
"""
