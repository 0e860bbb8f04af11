"""Where a Supabase project answers: its REST, Auth and functions, beside the Management API."""

from ops.targets import Target

HOST = "supabase.co"


def project_url(target: Target) -> str:
    """`https://<ref>.supabase.co`, or what the environment's `project_url` says; no slash at the end. Empty: no project."""
    settings = target.settings
    if settings.project_ref is None:
        return ""
    return (settings.project_url or f"https://{settings.project_ref}.{HOST}").rstrip("/")
