"""The GraphQL schema as SDL: which fields and arguments there are, and which may be absent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from wbframe.errors import UsageError, one_of

__all__ = ["NESTED_ROWS", "Features", "sdl"]

NESTED_ROWS = frozenset(
    {"history", "events", "sampledHistory", "bucketedHistory", "parquetHistory", "historyTail"}
)
"""What `Features.nested_histories` allows for the runs inside ``runs { edges { node } }``."""

_LiveData = Literal["rows", "null", "absent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What the server knows, and how it behaves where that is not public.

    Without a feature it refuses its fields as an old server would.

    Attributes
    ----------
    fields
        ``project.fields``, the index of config and summary keys.
    projection
        The argument ``keys`` of ``config`` and ``summaryMetrics``.
    nested_histories
        Rows inside ``runs { edges { node } }``, of a project or a sweep.
    history_keys
        ``run.historyKeys``; every public SDK asks for it.
    united_keys
        ``runs.historyKeys``, the keys of all runs that pass the filters.
    internal_ids
        ``project.internalId`` and ``run.projectId``; SDKs from 0.27 on ask for them.
    parquet_history
        ``run.parquetHistory``; SDKs from 0.27 on ask for it to scan.
    bucketed_history
        ``run.bucketedHistory``.
    buckets_as_text
        Whether `bucketedHistory` answers each spec with a JSON text instead of a list.
    live_data
        ``"rows"``: `parquetHistory` gives the rows that are not exported. ``"null"``: null instead.
        ``"absent"``: it has no such field.
    history_serves_exported
        Whether `history` and `sampledHistory` give exported rows too, or only those that are not
        exported or live.
    shuffled_urls
        Whether ``parquetUrls`` are in another order each time.
    url_gets
        After how many GETs an exported file's URL expires; None: never by itself.

    Raises
    ------
    UsageError
        `live_data` or `url_gets` cannot be that.
    """

    fields: bool = True
    projection: bool = True
    nested_histories: bool = True
    history_keys: bool = True
    united_keys: bool = True
    internal_ids: bool = True
    parquet_history: bool = True
    bucketed_history: bool = True
    buckets_as_text: bool = False
    live_data: _LiveData = "rows"
    history_serves_exported: bool = True
    shuffled_urls: bool = False
    url_gets: int | None = None

    def __post_init__(self) -> None:
        if self.live_data not in get_args(_LiveData):
            raise one_of("live_data", self.live_data, get_args(_LiveData))
        if self.url_gets is not None and self.url_gets < 1:
            raise UsageError(f"`url_gets` must be at least 1; got {self.url_gets}")


def sdl(features: Features) -> str:
    """Write the schema that has just these features."""
    keys = "(keys: [String!])" if features.projection else ""
    run = [
        f"config{keys}: JSONString",
        f"summaryMetrics{keys}: JSONString",
        "historyKeys: JSON" if features.history_keys else "",
        "projectId: String\n  internalID: String" if features.internal_ids else "",
        (
            "parquetHistory(liveKeys: [String!]!): ParquetHistory!"
            if features.parquet_history
            else ""
        ),
        "bucketedHistory(specs: [JSONString!]!): [JSON]!" if features.bucketed_history else "",
    ]
    project = [
        "internalId: String" if features.internal_ids else "",
        (
            "fields(first: Int, after: String, pattern: String): ProjectFieldConnection!"
            if features.fields
            else ""
        ),
    ]
    runs = "historyKeys: JSON" if features.united_keys else ""
    live = {"rows": "liveData: [JSON!]!", "null": "liveData: [JSON!]", "absent": ""}
    filled = _SDL.replace("#live#", live[features.live_data])
    filled = filled.replace("#run#", "\n  ".join(run)).replace("#runs#", runs)
    return filled.replace("#project#", "\n  ".join(project))


_SDL = """
scalar JSON
"JSON as text."
scalar JSONString
"UTC, as text."
scalar DateTime
"Whole seconds."
scalar Duration
scalar Int64
"A list of JSON texts, one a row."
scalar JSONLines

type Query {
  viewer: User
  serverInfo: ServerInfo
  project(name: String, entityName: String): Project
  projects(
    entityName: String, first: Int, after: String, pattern: String, order: String
  ): ProjectConnection
  models(entityName: String, first: Int, after: String): ProjectConnection
}

type PageInfo {
  hasNextPage: Boolean!
  hasPreviousPage: Boolean!
  startCursor: String
  endCursor: String
}

type ServerInfo {
  cliVersionInfo: JSON
  latestLocalVersionInfo: LocalVersion
  features: [ServerFeature!]!
}
type LocalVersion {
  outOfDate: Boolean!
  latestVersionString: String!
  versionOnThisInstanceString: String!
}
type ServerFeature { name: String! isEnabled: Boolean! }

type User {
  id: ID!
  name: String
  username: String
  email: String
  entity: String
  flags: JSONString
  admin: Boolean
  deletedAt: DateTime
  photoUrl: String
  teams(first: Int): TeamConnection
  apiKeys: ApiKeyConnection
}
type TeamConnection { edges: [TeamEdge!]! }
type TeamEdge { node: Team }
type Team { id: ID! name: String! }
type ApiKeyConnection { edges: [ApiKeyEdge!]! }
type ApiKeyEdge { node: ApiKey }
type ApiKey { id: ID! name: String description: String }

type ProjectConnection { totalCount: Int! edges: [ProjectEdge!]! pageInfo: PageInfo! }
type ProjectEdge { node: Project! cursor: String! }
type Project {
  id: ID!
  name: String!
  entityName: String!
  description: String
  createdAt: DateTime!
  isBenchmark: Boolean!
  access: String
  readOnly: Boolean!
  user: User
  runCount(filters: JSONString): Int!
  runs(filters: JSONString, order: String, first: Int, after: String): RunConnection
  run(name: String!): Run
  totalSweeps: Int!
  sweeps(first: Int, after: String, filters: JSONString): SweepConnection
  sweep(sweepName: String!): Sweep
  #project#
}

type ProjectFieldConnection { edges: [ProjectFieldEdge!]! pageInfo: PageInfo! }
type ProjectFieldEdge { node: ProjectField! cursor: String! }
type ProjectField { path: String! type: String! }

type SweepConnection { totalCount: Int! edges: [SweepEdge!]! pageInfo: PageInfo! }
type SweepEdge { node: Sweep! cursor: String! }
type Sweep {
  id: ID!
  name: String!
  displayName: String
  state: String!
  method: String!
  description: String
  bestLoss: Float
  config: String!
  createdAt: DateTime!
  updatedAt: DateTime
  runCount: Int!
  runCountExpected: Int
  runs(filters: JSONString, order: String, first: Int, after: String): RunConnection
}

type RunConnection { totalCount: Int! edges: [RunEdge!]! pageInfo: PageInfo! #runs# }
type RunEdge { node: Run! cursor: String! }
type Run {
  id: ID!
  name: String!
  displayName: String
  state: String
  systemMetrics: JSONString
  wandbConfig(keys: [String!]): JSONString
  historyLineCount: Int
  eventsLineCount: Int
  logLineCount: Int
  historyTail: String
  eventsTail: String
  createdAt: DateTime!
  heartbeatAt: DateTime
  updatedAt: DateTime
  computeSeconds: Duration!
  tags: [String!]
  group: String
  jobType: String
  sweepName: String
  sweep: Sweep
  commit: String
  description: String
  notes: String
  host: String
  exitcode: Int
  readOnly: Boolean
  stopped: Boolean
  user: User
  project: Project
  runInfo: RunInfo
  fileCount: Int
  files(names: [String], pattern: String, first: Int, after: String): FileConnection
  "Rows of `minStep` <= _step < `maxStep`, whole, thinned out to `samples`."
  history(minStep: Int64, maxStep: Int64, samples: Int): JSONLines!
  "Machine metrics, thinned out to `samples` and to fewer than 1000."
  events(samples: Int): JSONLines!
  "For each spec the rows that hold all of its keys; `minStep` and `maxStep` are inclusive."
  sampledHistory(specs: [JSONString!]!): [JSON]!
  #run#
}

type ParquetHistory { parquetUrls: [String!]! #live# }

type RunInfo {
  program: String
  args: [String!]
  os: String
  python: String
  executable: String
  colab: String
  codeSaved: Boolean
  cpuCount: Int
  cpuCountLogical: Int
  gpuCount: Int
  gpu: String
  git: GitInfo
}
type GitInfo { remote: String commit: String }

type FileConnection { edges: [FileEdge!]! pageInfo: PageInfo! }
type FileEdge { node: File! cursor: String! }
type File {
  id: ID!
  name: String!
  url(upload: Boolean): String
  directUrl: String
  sizeBytes: Int64
  mimetype: String
  updatedAt: DateTime
  md5: String
}
"""
