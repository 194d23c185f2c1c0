"""The bare page's own servers."""

from pathlib import Path

from tests.servers import SERVE, Refract, postgres

APPLICATION = {"config.asgi:application": "tests.bench.bare.asgi:application"}


class Bare(Refract):
    """The same command, server and number of processes as Refract's, with the bare project."""

    settings = "tests.bench.bare.settings"
    serve = [*(APPLICATION.get(part, part) for part in SERVE), "--lifespan", "off"]

    @classmethod
    def with_tables(cls, data: Path, processes: int, *, full: bool) -> "Bare":
        data.mkdir()
        bare = cls(data, {"DATABASE_URL": postgres().create("bare")} if full else {}, processes)
        bare.manage("migrate", "--run-syncdb", "--verbosity", "0")
        return bare
