/** Return an id that nobody else makes, for what may be sent twice but must be stored once. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // `randomUUID` is for https only
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
