// map_plain.mjs - points on a plain canvas, where there is no WebGL. The renderer's parts are
// those of map_gl.mjs.

export function plainRenderer(canvas) {
    const context = canvas.getContext("2d");
    let places = new Uint16Array(0), rgba = new Uint8Array(0);

    return {
        name: "canvas",
        resize(width, height) {
            canvas.width = width;
            canvas.height = height;
        },
        upload(newPlaces, newColours) {
            places = newPlaces;
            rgba = newColours;
        },
        draw(view, size, paper) {
            context.globalAlpha = 1;
            context.fillStyle = `rgb(${paper.join()})`;
            context.fillRect(0, 0, canvas.width, canvas.height);
            let last = -1;
            for (let i = 0; i < places.length / 2; i++) {
                const x = view.x + view.kx * places[2 * i], y = view.y + view.ky * places[2 * i + 1];
                if (!(x > -size && y > -size && x < canvas.width + size && y < canvas.height + size)) continue;
                const [r, g, b, a] = rgba.subarray(4 * i, 4 * i + 4);
                const colour = ((r << 16) | (g << 8) | b) * 256 + a;
                if (colour !== last) { // setting a colour costs more than a point
                    context.fillStyle = `rgba(${r},${g},${b},${a / 255})`;
                    last = colour;
                }
                context.fillRect(x - size / 2, y - size / 2, size, size);
            }
        },
    };
}
