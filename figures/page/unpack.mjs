// unpack.mjs - the bytes that a page carries in its elements (figures/html_script.c).

export function bytesOfBase64(text) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return bytes;
}

/** Undo zlib's packing. */
export async function inflate(bytes) {
    if (typeof DecompressionStream === "undefined")
        throw new Error("this browser cannot unpack the page's data; browsers since 2023 can");
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The bytes of element `id`; empty when the page has no such element. */
export async function unpack(id) {
    const element = document.getElementById(id);
    if (element === null) return new Uint8Array(0);
    return inflate(bytesOfBase64(element.textContent));
}
