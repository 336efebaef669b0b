"""Products that a run did not make: by what the frames lack, or because they failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ccdcore.text import readable
from db.schema import models
from db.schema.models import Outcome

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def record_lack(session: Session, *, run_id: int, product: str, reason: str, is_failure: bool = False) -> None:
    """Record a product that a run did not make; a failure shows in the message of the run, also if it is over."""
    lack = models.Lack(run_id=run_id, product=product, reason=readable(reason), is_failure=is_failure)
    session.add(lack)
    session.flush()
    run = models.Run
    message = failures_in_words(session, run_id)
    over = update(run).where(run.id == run_id, run.outcome == Outcome.DONE).values(message=message)
    session.execute(over.execution_options(synchronize_session=False))


def failures_in_words(session: Session, run_id: int) -> str | None:
    """Return in words which products of a run failed; None where none did."""
    lack = models.Lack
    rows = select(lack.product, lack.reason).where(lack.run_id == run_id, lack.is_failure).order_by(lack.id)
    failed = [f"{product}: {reason}" for product, reason in session.execute(rows)]
    if not failed:
        return None
    how_many = "one product" if len(failed) == 1 else f"{len(failed)} products"
    return f"done, but {how_many} failed: {'; '.join(failed)}"


@dataclass(frozen=True, slots=True)
class LackRow:
    """A product that a run did not make, and why; ``is_failure`` where nobody foresaw that."""

    id: int
    product: str
    reason: str
    is_failure: bool


def run_lacks(session: Session, run_id: int) -> list[LackRow]:
    """Return the products that a run did not make, in the order they were recorded."""
    columns = [getattr(models.Lack, name) for name in LackRow.__dataclass_fields__]
    query = select(*columns).where(models.Lack.run_id == run_id).order_by(models.Lack.id)
    return [LackRow(*row) for row in session.execute(query)]
