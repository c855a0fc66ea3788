import type { MetricRow } from '../metrics.ts';

/** Requests, connections and what they take. */
// biome-ignore format: a table
export const REQUEST_METRICS = {
  requests:           { name: 'linarite_requests_total', kind: 'counter', labels: ['operation', 'status', 'caller'], help: 'Answered requests.', alarm: 'status 500: any; status 503: more than 1 % of requests for 5 minutes' },
  durations:          { name: 'linarite_request_duration_seconds', kind: 'histogram', labels: ['operation'], help: 'Time from the arrival of the request headers to the answer, without the time that a request was parked.', alarm: '99th percentile of issueAccessToken above 0.5 s for 10 minutes' },
  refusals:           { name: 'linarite_refusals_total', kind: 'counter', labels: ['reason'], help: 'Requests refused, by reason. The error reference explains each reason.', alarm: 'lease.expired (tokens are refused because revocations may have been missed), store.failed and token.ahead: any; overload.usual (requests refused under overload): above 1 % of requests for 5 minutes; overload.urgent and overload.bodies: any' },
  newerVersions:      { name: 'linarite_newer_api_versions_total', kind: 'counter', help: 'Requests with an api-version newer than all known ones, served as the newest known.', alarm: 'any: update the server' },
  requestsUnderWay:   { name: 'linarite_requests_under_way', kind: 'gauge', labels: ['lane'], help: 'Requests under way. The lane urgent is for requests that end access or ask for health and metrics.', alarm: 'usual above half of LINARITE_REQUESTS_MOST for 5 minutes: one resource may have used its whole share' },
  requestsParked:     { name: 'linarite_requests_parked', kind: 'gauge', help: 'Requests that wait for something to happen. They take no place from others.', alarm: 'above 4000: from 5000 on new ones are refused' },
  sockets:            { name: 'linarite_sockets', kind: 'gauge', help: 'Open WebSockets.', alarm: 'above 4000: from 5000 on new ones are refused' },
  socketsClosed:      { name: 'linarite_sockets_closed_total', kind: 'counter', labels: ['operation', 'code'], help: 'WebSockets that were closed, by close code.', alarm: 'code 1011: any; code 1013 (messages were not read): sustained growth' },
  bodyBytes:          { name: 'linarite_request_body_bytes', kind: 'gauge', help: 'Bytes of request bodies in memory, at most 32 MiB.' },
  connections:        { name: 'linarite_connections', kind: 'gauge', help: 'Open connections.', alarm: 'above 11000: from 12000 on new ones are refused' },
  connectionsRefused: { name: 'linarite_connections_refused_total', kind: 'counter', help: 'Connections refused because there were too many.', alarm: 'any' },
} as const satisfies Record<string, MetricRow>;
