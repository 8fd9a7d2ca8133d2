"""A small Hub on the loopback address: repositories, commits, large files and permissions as the real client asks."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


# What the Hub writes into a new Space.
SPACE_README = b"""---
title: Page
emoji: \xf0\x9f\x90\xa8
colorFrom: blue
colorTo: red
sdk: gradio
sdk_version: 6.0.0
app_file: app.py
pinned: false
---

Check out the configuration reference at https://huggingface.co/docs/hub/spaces-config-reference
"""


class Refused(Exception):
    """An answer that is an error: status, the Hub's code, message, and what else the body says."""


class Repository:
    """Branches and commits, in memory. A commit is all its files, by path: content, and SHA-256 if it is large."""

    def __init__(self, private: bool, kind: str = "model"):
        self.private = bool(private)
        self.commits = {}
        self.branches = {}
        self.messages = []
        files = {".gitattributes": (b"*.safetensors filter=lfs\n", None)}
        if kind == "space":
            files["README.md"] = (SPACE_README, None)
        self.commit("main", files, "initial commit")

    def commit(self, branch: str, files: dict, message: str) -> str:
        self.messages.append(message)
        sha = hashlib.sha1(f"{len(self.messages)} {message}".encode()).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        return sha

    def find(self, revision: str) -> str:
        sha = self.branches.get(revision, revision)
        if sha not in self.commits:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha


class HubServer:
    """
    The server. `tokens` maps each token to the namespaces in which it may write and see what is private; `blobs` holds
    large files by SHA-256.
    """

    def __init__(self):
        self.repositories, self.blobs = {}, {}
        self.tokens = {"hf_owner": {"org"}, "hf_stranger": {"stranger"}}
        self.hold_uploads = False  # whether large files are received, but never answered
        self.upload_began = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def handle_any(self):
                server.handle(self)

            do_GET = do_HEAD = do_POST = do_PUT = handle_any

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """What is visible in a repository."""
        repository = self.repositories[repo_id]
        files = repository.commits[repository.find(revision)]
        return {path: content for path, (content, _) in files.items() if path != ".gitattributes"}

    # Requests

    def handle(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ").strip()
        path = urlsplit(request.path)
        try:
            if token and token not in self.tokens:
                raise Refused(401, "", "Invalid credentials in Authorization header")
            namespaces = self.tokens.get(token, set())
            answer = self.route(request, path.path.strip("/").split("/"), path.query, body, namespaces)
        except Refused as refusal:
            status, code, message, *more = refusal.args
            headers = {"X-Error-Code": code, "X-Error-Message": message} if code else {}
            reply(request, status, json.dumps({"error": message, **dict(*more)}).encode(), headers)
            return
        if answer is not None:
            reply(request, 200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def route(self, request, parts: list[str], query: str, body: bytes, namespaces: set):
        # Spaces have the same addresses one level deeper, and here the same names.
        kind = ""
        if parts[0] == "spaces" or parts[:2] == ["api", "spaces"]:
            kind, parts = "spaces/", parts[1:] if parts[0] == "spaces" else ["api", "models", *parts[2:]]
        match request.command, parts:
            case "POST", ["api", "repos", "create"]:
                return self.create(json.loads(body), namespaces)
            case "GET", ["api", "whoami-v2"]:
                if not namespaces:
                    raise Refused(401, "", "Invalid username or password.")
                return {"name": min(namespaces), "type": "user", "orgs": []}
            case "POST", ["api", "validate-yaml"]:
                return {"errors": [], "warnings": []}
            case "PUT", ["upload", sha]:
                return self.receive(request, sha, body)
            case "POST", [namespace, name, "info", "lfs", "objects", "batch"]:
                self.find(f"{kind}{namespace}/{name.removesuffix('.git')}", namespaces, write=True)
                return {"transfer": "basic", "objects": [self.upload_action(o) for o in json.loads(body)["objects"]]}
            case "GET" | "HEAD", [namespace, name, "resolve", revision, *path]:
                repository = self.find(f"{kind}{namespace}/{name}", namespaces)
                return self.resolve(request, repository, unquote(revision), unquote("/".join(path)))
            case method, ["api", "models", namespace, name, *rest]:
                repo_id = f"{kind}{namespace}/{name}"
                repository = self.find(repo_id, namespaces, write=method == "POST" and rest[0] != "paths-info")
                return self.api(method, repo_id, repository, [unquote(part) for part in rest], query, body)
        raise Refused(404, "", f"no such route: {request.path}")

    def api(self, method: str, repo_id: str, repository: Repository, rest: list[str], query: str, body: bytes):
        match method, rest:
            case "GET", [] | ["revision", _]:
                sha = repository.find(rest[-1] if rest else "main")
                siblings = [{"rfilename": path} for path in repository.commits[sha]]
                return {
                    "id": repo_id.removeprefix("spaces/"),
                    "sha": sha,
                    "private": repository.private,
                    "siblings": siblings,
                    "tags": [],
                }
            case "GET", ["refs"]:
                refs = [
                    {"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha}
                    for name, sha in repository.branches.items()
                ]
                return {"branches": refs, "tags": [], "converts": []}
            case "GET", ["tree", revision, *_]:
                files = repository.commits[repository.find(revision)]
                return [entry(path, *file) for path, file in sorted(files.items())]
            case "POST", ["paths-info", revision]:
                files = repository.commits[repository.find(revision)]
                return [entry(path, *files[path]) for path in json.loads(body)["paths"] if path in files]
            case "POST", ["branch", name]:
                if name in repository.branches:
                    raise Refused(409, "", "Reference already exists")
                repository.branches[name] = repository.branches["main"]
                return {}
            case "POST", ["preupload", revision]:
                repository.find(revision)
                asked = [file["path"] for file in json.loads(body)["files"]]
                modes = {path: "lfs" if path.endswith((".safetensors", ".png")) else "regular" for path in asked}
                return {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]}
            case "POST", ["commit", revision]:
                return self.commit(repo_id, repository, revision, "create_pr=1" in query, body)
        raise Refused(404, "", f"no such route: {method} {rest}")

    def find(self, repo_id: str, namespaces: set, write: bool = False) -> Repository:
        repository = self.repositories.get(repo_id)
        may = repo_id.split("/")[-2] in namespaces
        if repository is None or (repository.private and not may):
            # As the Hub does: nobody is told whether it exists.
            raise Refused(404 if namespaces else 401, "RepoNotFound", "Repository not found")
        if write and not may:
            raise Refused(403 if namespaces else 401, "", "Forbidden: you have no write access")
        return repository

    def create(self, wanted: dict, namespaces: set) -> dict:
        kind = "spaces/" if wanted.get("type") == "space" else ""
        repo_id = f"{kind}{wanted.get('organization') or min(namespaces, default='nobody')}/{wanted['name']}"
        if repo_id.split("/")[-2] not in namespaces:
            raise Refused(403 if namespaces else 401, "", f"Forbidden: no write access to {repo_id}")
        if repo_id in self.repositories:
            raise Refused(409, "", "You already created this model repo", {"url": f"{self.url}/{repo_id}"})
        # Newer clients name the visibility.
        self.repositories[repo_id] = Repository(
            wanted.get("private") or wanted.get("visibility") == "private", wanted.get("type") or "model"
        )
        return {"url": f"{self.url}/{repo_id}", "name": repo_id}

    def upload_action(self, wanted: dict) -> dict:
        actions = {} if wanted["oid"] in self.blobs else {"upload": {"href": f"{self.url}/upload/{wanted['oid']}"}}
        return wanted | {"actions": actions} if actions else wanted

    def receive(self, request, sha: str, body: bytes):
        if self.hold_uploads:
            self.upload_began.set()
            request.connection.recv(1)  # until the client is gone
            request.close_connection = True
            return None
        if hashlib.sha256(body).hexdigest() != sha:
            raise Refused(400, "", "checksum mismatch")
        self.blobs[sha] = body
        return {}

    def commit(self, repo_id: str, repository: Repository, branch: str, create_pr: bool, body: bytes) -> dict:
        lines = [json.loads(line) for line in body.decode().splitlines()]
        parent = repository.find(branch)
        files, message = dict(repository.commits[parent]), ""
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header":
                    message = value["summary"]
                    if value.get("parentCommit") not in (None, parent):
                        raise Refused(412, "", "A commit has happened since. Please refresh and try again.")
                case "file":
                    files[value["path"]] = (base64.b64decode(value["content"]), None)
                case "lfsFile":
                    if value["oid"] not in self.blobs:
                        raise Refused(400, "", f"{value['path']} was not uploaded")
                    files[value["path"]] = (self.blobs[value["oid"]], value["oid"])
                case "deletedFile":
                    del files[value["path"]]
        number = sum(name.startswith("refs/pr/") for name in repository.branches) + 1
        sha = repository.commit(f"refs/pr/{number}" if create_pr else branch, files, message)
        answer = {
            "success": True,
            "commitOid": sha,
            "commitUrl": f"{self.url}/{repo_id}/commit/{sha}",
            "hookOutput": "",
        }
        return answer | ({"pullRequestUrl": f"{self.url}/{repo_id}/discussions/{number}"} if create_pr else {})

    def resolve(self, request, repository: Repository, revision: str, path: str):
        sha = repository.find(revision)
        if path not in repository.commits[sha]:
            raise Refused(404, "EntryNotFound", f"{path} does not exist in {revision}")
        content, large = repository.commits[sha][path]
        etag = f'"{large or blob_id(content)}"'
        headers = {"X-Repo-Commit": sha, "ETag": etag, "Accept-Ranges": "bytes"}
        if large:
            headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(len(content))}
        span = request.headers.get("Range")
        first = int(span.removeprefix("bytes=").split("-")[0]) if span else 0
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        reply(request, 206 if first else 200, content[first:], headers)


def entry(path: str, content: bytes, large: str | None) -> dict:
    """A file in a listing."""
    described = {"type": "file", "path": path, "size": len(content), "oid": blob_id(content)}
    return described | ({"lfs": {"oid": large, "size": len(content), "pointerSize": 134}} if large else {})


def blob_id(content: bytes) -> str:
    """The name that git gives to a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def reply(request, status: int, content: bytes, headers: dict):
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content)
