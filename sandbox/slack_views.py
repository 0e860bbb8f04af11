"""The Web API methods that show modals and home tabs, and what an answered submission does to the stack."""

from sandbox.slack_rules import SlackError
from sandbox.slack_rules import check_view
from sandbox.slack_shapes import JSON
from sandbox.slack_state import SlackState
from sandbox.slack_state import View


def open_view(state: SlackState, body: JSON) -> JSON:
    """views.open: a modal for whoever gave the trigger."""
    check_view(body.get("view"), "modal")
    trigger = state.use_trigger(str(body.get("trigger_id", "")))
    view = state.open_modal(trigger.user, body["view"])
    trigger.view_id = view.id
    return {"view": state.view_json(view)}


def push_view(state: SlackState, body: JSON) -> JSON:
    """views.push: a modal on top of the one where the trigger came from."""
    check_view(body.get("view"), "modal")
    trigger = state.use_trigger(str(body.get("trigger_id", "")))
    if not trigger.in_modal:
        raise SlackError("invalid_trigger_id")
    view = state.push_modal(trigger.user, body["view"])
    trigger.view_id = view.id
    return {"view": state.view_json(view)}


def update_view(state: SlackState, body: JSON) -> JSON:
    """views.update, by view_id or external_id; a stale hash is refused."""
    check_view(body.get("view"), "modal")
    view = _wanted_view(state, body)
    if view.id not in state.stacks[view.user]:
        raise SlackError("not_found")
    _check_hash(view, body)
    return {"view": state.view_json(state.change_view(view, body["view"]))}


def publish_view(state: SlackState, body: JSON) -> JSON:
    """views.publish: the home tab of one person."""
    check_view(body.get("view"), "home")
    user = str(body.get("user_id", ""))
    if user not in state.workspace.people:
        raise SlackError("user_not_found")
    shown = state.views.get(state.homes.get(user, ""))
    if shown is None:
        view = state.new_view(user, body["view"])
        state.homes[user] = view.id
    else:
        _check_hash(shown, body)
        view = state.change_view(shown, body["view"])
    return {"view": state.view_json(view)}


def answer_submission(state: SlackState, view: View, answer: JSON) -> dict[str, str]:
    """Carry out what the acknowledgement of a submission says; returns the errors to show, by block_id.

    An empty answer closes the view. Raises `SlackError` when Slack could not make sense of it; the view stays.
    """
    action = answer.get("response_action")
    stack = state.stacks[view.user]
    if action is None:
        stack[:] = [view_id for view_id in stack if view_id != view.id]
    elif action == "clear":
        stack.clear()
    elif action == "errors":
        return _errors(view, answer)
    elif action in ("update", "push"):
        check_view(answer.get("view"), "modal")
        if action == "update":
            state.change_view(view, answer["view"])
        else:
            state.push_modal(view.user, answer["view"])
    else:
        raise SlackError("invalid_response_action", f"unknown response_action: {action}")
    return {}


def _errors(view: View, answer: JSON) -> dict[str, str]:
    errors = answer.get("errors")
    inputs = {block["block_id"] for block in view.body["blocks"] if block["type"] == "input"}
    if not isinstance(errors, dict) or not errors or not set(errors) <= inputs:
        raise SlackError("invalid_response_action", f"errors must name input blocks: {sorted(inputs)}")
    return {block_id: str(text) for block_id, text in errors.items()}


def _wanted_view(state: SlackState, body: JSON) -> View:
    external = body.get("external_id")
    for view in state.views.values():
        if view.id == body.get("view_id") or (external and view.body.get("external_id") == external):
            return view
    raise SlackError("not_found")


def _check_hash(view: View, body: JSON) -> None:
    if body.get("hash") and body["hash"] != view.hash:
        raise SlackError("hash_conflict")
