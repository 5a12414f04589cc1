// The HTTP API: one envelope, its errors, and requests that can be given up.

import { remembered } from "./memory.ts";

export type Params = Record<string, string | number | boolean | readonly string[] | undefined>;

export interface Answer<T> {
  data: T;
  warnings: string[];
  infos: string[];
  /** Size of the body as it was decoded, bytes. */
  bytes: number;
  /** From the request to the last byte, ms. */
  ms: number;
}

interface Envelope<T> {
  status: "success" | "error";
  data: T;
  errorType?: string;
  error?: string;
  warnings?: string[];
  infos?: string[];
}

/** What an API says when it does not answer. */
export class ApiError extends Error {
  readonly kind: string;
  readonly status: number;

  constructor(kind: string, text: string, status: number) {
    super(text);
    this.kind = kind;
    this.status = status;
  }

  /** The API does not have this path: another version or another component. */
  get isAbsent(): boolean {
    return this.status === 404 || this.status === 405;
  }
}

export const TENANT = remembered("tenant", "");
/** The tenant of one request, which goes into a header, not into the address; empty = the one that is set for all. */
export const TENANT_PARAM = "@tenant";

export function tenantOf(params: Params): string {
  return String(params[TENANT_PARAM] || TENANT.get());
}

/** Paths are relative to the page, so every prefix fits. All pages lie one level deep. */
export function urlOf(path: string, params: Params = {}): URL {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of pairs(params)) url.searchParams.append(name, value);
  return url;
}

export function pairs(params: Params): [string, string][] {
  const out: [string, string][] = [];
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined || value === "" || name === TENANT_PARAM) continue;
    if (typeof value === "object") for (const one of value) out.push([name, one]);
    else out.push([name, String(value)]);
  }
  return out;
}

/** URLs beyond this length are refused by some proxies. */
const URL_CHARS_MAX = 4000;
const MAY_BE_POSTED = /api\/v1\/(query|query_range|series|labels|parse_query|format_query|query_exemplars)$/;

export async function call<T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<Answer<T>> {
  const url = urlOf(path, params);
  const isLong = url.href.length > URL_CHARS_MAX && MAY_BE_POSTED.test(path);
  const init: RequestInit = isLong ? { method: "POST", body: new URLSearchParams(pairs(params)) } : {};
  return send<T>(isLong ? urlOf(path) : url, init, tenantOf(params), signal);
}

export async function post<T>(path: string, params: Params): Promise<Answer<T>> {
  return send<T>(urlOf(path), { method: "POST", body: new URLSearchParams(pairs(params)) }, tenantOf(params));
}

async function send<T>(url: URL, init: RequestInit, tenant: string, signal?: AbortSignal): Promise<Answer<T>> {
  const began = performance.now();
  const headers: HeadersInit = tenant === "" ? {} : { "THANOS-TENANT": tenant };
  let response: Response;
  try {
    response = await fetch(url, { ...init, headers, ...(signal ? { signal } : {}) });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError("network", `${url.host} does not answer: is the process still running?`, 0);
  }
  const text = await response.text();
  return { ...opened<T>(text, response), bytes: text.length, ms: performance.now() - began };
}

function opened<T>(text: string, response: Response): Pick<Answer<T>, "data" | "warnings" | "infos"> {
  let envelope: Envelope<T> | undefined;
  try {
    envelope = JSON.parse(text) as Envelope<T>;
  } catch {
    envelope = undefined;
  }
  if (envelope?.status === "success") {
    return { data: envelope.data, warnings: envelope.warnings ?? [], infos: envelope.infos ?? [] };
  }
  if (envelope?.error !== undefined) {
    throw new ApiError(envelope.errorType ?? "error", envelope.error, response.status);
  }
  const start = text.trim().slice(0, 200);
  throw new ApiError("http", `HTTP ${response.status} ${response.statusText}${start ? `: ${start}` : ""}`, response.status);
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

export function textOf(error: unknown): string {
  if (error instanceof ApiError && error.kind !== "network" && error.kind !== "http") return `${error.kind}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
