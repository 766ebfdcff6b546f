"""The schema's revisions are known without the program that changes it."""

from alembic.script import ScriptDirectory

from sublet.store import database
from sublet.store.database import revisions


def test_revisions_are_the_files_in_their_order() -> None:
    script = ScriptDirectory(str(database._MIGRATIONS))
    assert revisions() == [one.revision for one in script.walk_revisions()] and len(revisions()) > 10
