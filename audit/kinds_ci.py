"""What came in from CI: the data of those events."""

from audit.data import Data


class CiAdmitted(Data):
    """A CI job proved who it is, as its issuer says; with this event its token is used up. `token_sha256` names the token:
    it is of the issuer and the token's own number. `nonce` tells two uses of it apart."""

    repository: str
    ref: str
    sha: str
    event_name: str
    workflow: str
    started_by: str
    token_sha256: str
    nonce: str
    until: str
