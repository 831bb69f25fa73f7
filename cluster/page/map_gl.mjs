// map_gl.mjs - points by WebGL.
//
// A renderer, here and in map_plain.mjs, has
//   resize(width, height)      in pixels of the screen
//   upload(places, rgba)       u16 (2n) and u8 (4n), drawn in this order
//   draw(view, size, paper)    view: pixel = origin + scale * place, {x, y, kx, ky}, in pixels;
//                              size: diameter in pixels; paper: background [r, g, b]

const VERTEX = `
attribute vec2 place;
attribute vec4 colour;
uniform vec2 origin, scale;
uniform mediump float size;
varying vec4 tint;
void main() {
    gl_Position = vec4(origin + scale * place, 0.0, 1.0);
    gl_PointSize = size;
    tint = colour;
}`;

const FRAGMENT = `
precision mediump float;
uniform mediump float size;
varying vec4 tint;
void main() {
    float inside = size * (0.5 - length(gl_PointCoord - 0.5));
    gl_FragColor = vec4(tint.rgb, tint.a * clamp(inside + 0.5, 0.0, 1.0));
}`;

function compile(gl, kind, source) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    return shader;
}

/** The program with its places looked up, or null where shaders do not compile. */
function link(gl) {
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, FRAGMENT));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
    gl.useProgram(program);
    return program;
}

function attribute(gl, program, name, size, type) {
    const buffer = gl.createBuffer(), at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, size, type, type === gl.UNSIGNED_BYTE, 0, 0);
    return buffer;
}

/** A renderer on `canvas`, or null where there is no WebGL. */
export function glRenderer(canvas) {
    const gl = canvas.getContext("webgl", {antialias: false, alpha: false, preserveDrawingBuffer: true});
    const program = gl && link(gl);
    if (!program) return null;
    const places = attribute(gl, program, "place", 2, gl.UNSIGNED_SHORT);
    const colours = attribute(gl, program, "colour", 4, gl.UNSIGNED_BYTE);
    const uniform = (name) => gl.getUniformLocation(program, name);
    const origin = uniform("origin"), scale = uniform("scale"), size = uniform("size");
    let n = 0;
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);

    return {
        name: "webgl",
        resize(width, height) {
            canvas.width = width;
            canvas.height = height;
            gl.viewport(0, 0, width, height);
        },
        upload(newPlaces, rgba) {
            n = newPlaces.length / 2;
            gl.bindBuffer(gl.ARRAY_BUFFER, places);
            gl.bufferData(gl.ARRAY_BUFFER, newPlaces, gl.DYNAMIC_DRAW);
            gl.bindBuffer(gl.ARRAY_BUFFER, colours);
            gl.bufferData(gl.ARRAY_BUFFER, rgba, gl.DYNAMIC_DRAW);
        },
        draw(view, diameter, [r, g, b]) {
            gl.clearColor(r / 255, g / 255, b / 255, 1);
            gl.clear(gl.COLOR_BUFFER_BIT);
            // pixels, y downwards, to clip space, y upwards
            gl.uniform2f(origin, (2 * view.x) / canvas.width - 1, 1 - (2 * view.y) / canvas.height);
            gl.uniform2f(scale, (2 * view.kx) / canvas.width, (-2 * view.ky) / canvas.height);
            gl.uniform1f(size, diameter);
            gl.drawArrays(gl.POINTS, 0, n);
        },
    };
}
