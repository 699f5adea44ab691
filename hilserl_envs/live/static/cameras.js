// The cameras, as large as they fit. They come side by side in one JPEG; each has its own canvas here.

const GAP = 10, CAPTION = 22, PADDING = 20; // as in page.css [pixels]
const NARROW = "(max-width: 800px)";
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Cameras {
  constructor(section, token) {
    this.section = section;
    this.token = token;
    this.names = "";
    this.figures = [];
    new ResizeObserver(() => this.fit()).observe(section);
    this.follow();
  }

  /** Ask for the next frame as soon as one is drawn; the program answers when it has one. */
  async follow() {
    for (let number = -1; ; ) {
      const began = performance.now();
      let came = false;
      try {
        const response = await fetch("frame?after=" + number, {
          headers: { "X-Token": this.token },
          signal: AbortSignal.timeout(5000),
        });
        if (response.status === 200) {
          const places = JSON.parse(response.headers.get("X-Cameras"));
          this.draw(places, await createImageBitmap(await response.blob()));
          number = Number(response.headers.get("X-Frame"));
          came = true;
        }
      } catch {
        // Tried again below.
      }
      if (!came && performance.now() - began < 500) await pause(500);
      while (document.hidden) await pause(200);
    }
  }

  draw(places, picture) {
    if (this.picture) this.picture.close();
    this.picture = picture;
    const names = JSON.stringify(places);
    if (names !== this.names) {
      this.names = names;
      this.places = places;
      this.figures = places.map(([name]) => {
        const figure = document.createElement("figure"), caption = document.createElement("figcaption");
        caption.textContent = name;
        figure.append(document.createElement("canvas"), caption);
        return figure;
      });
      this.section.replaceChildren(...this.figures);
      this.fit();
    }
    this.paint();
  }

  /** As many columns as make the images largest; side by side if that is much the same. */
  fit() {
    if (!this.figures.length) return;
    const count = this.figures.length;
    const aspect = Math.max(...this.places.map(([, , width, height]) => width / height));
    const width = this.section.clientWidth - PADDING;
    // On a narrow screen the section is as high as what is in it.
    const height = (matchMedia(NARROW).matches ? 0.5 * innerHeight : this.section.clientHeight) - PADDING;
    let best = { size: 0, columns: 1 };
    for (let columns = count; columns > 0; columns--) {
      const rows = Math.ceil(count / columns);
      const wide = (width - GAP * (columns - 1)) / columns / aspect;
      const high = (height - GAP * (rows - 1)) / rows - CAPTION;
      const size = Math.floor(Math.min(wide, high));
      if (size > 1.05 * best.size) best = { size, columns };
    }
    this.section.style.gridTemplateColumns = `repeat(${best.columns}, auto)`;
    this.figures.forEach((figure, i) => {
      const [, , wide, high] = this.places[i];
      const canvas = figure.firstChild;
      canvas.style.height = best.size + "px";
      // As many pixels as the screen has there: smoother than a small canvas scaled up.
      canvas.height = best.size * devicePixelRatio;
      canvas.width = (best.size * devicePixelRatio * wide) / high;
    });
    this.paint();
  }

  paint() {
    this.figures.forEach((figure, i) => {
      const [, left, width, height] = this.places[i];
      const canvas = figure.firstChild, context = canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(this.picture, left, 0, width, height, 0, 0, canvas.width, canvas.height);
    });
  }
}
