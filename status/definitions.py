"""The services, as people apply them."""

from fastapi import APIRouter

from schemas.service import Service
from status.admission import objections
from status.desk import AtDesk
from status.problems import NoText, NotReady, Refused, Unanswered, Wrong, refuses

routes = APIRouter()


@routes.put("/api/services/{name}", responses=refuses(NoText, Refused, NotReady, Unanswered))
async def apply_service(name: str, service: Service, desk: AtDesk) -> Service:
    """Register a service, or change where its versions listen."""
    if name != service.service:
        raise Wrong(f"The path says {name}, the file says {service.service}.")
    desk.require_ready()
    overview = desk.feed.overview
    refused = objections(service, overview.ledger.of(name), overview.services.values())
    if refused:
        raise Refused("\n".join(refused))
    await desk.write("services", name, service.dump())
    shown = await desk.feed.wait_for(lambda o: o.services.get(name) == service or None, desk.answer_within_s)
    if shown is None:
        raise Unanswered(f"{name} was written, and was not read back within {desk.answer_within_s:g} s.")
    return service
