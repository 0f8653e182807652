// The camera: one frame is on its way at a time, so nothing piles up; it goes as it is seen, and comes back drawn.
(() => {
  const RECENT = 20; // frames that the figures are of
  class Camera {
    constructor(root) {
      this.root = root;
      this.canvas = root.querySelector("canvas");
      this.video = document.createElement("video");
      this.video.muted = this.video.playsInline = true;
      this.mirror = true;
      this.before = false;
      this.times = [];
    }
    say(text, live = false) {
      this.root.querySelector("[data-said]").textContent = text;
      this.root.classList.toggle("vt-on", live);
    }
    async start() {
      try {
        if (!navigator.mediaDevices) throw new Error(this.root.dataset.insecure);
        const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
        this.stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
      } catch (error) {
        return this.say(`${this.root.dataset.denied} ${error.message}`);
      }
      this.video.srcObject = this.stream;
      await this.video.play();
      this.running = true;
      this.known = false; // whether there was a face
      this.root.querySelector("[data-do=start]").textContent = this.root.dataset.stop;
      this.say(this.root.dataset.waiting, true);
      while (this.running && this.root.isConnected) await this.step();
      this.stop();
    }
    stop(text = "") {
      const was = this.running;
      this.running = false;
      this.stream?.getTracks().forEach((track) => track.stop());
      this.root.querySelector("[data-do=start]").textContent = this.root.dataset.start;
      if (was) fetch(`${this.root.dataset.live}/end`, { method: "POST", keepalive: true }).catch(() => {});
      if (was || text) this.say(text);
    }
    async step() {
      const { videoWidth: width, videoHeight: height } = this.video;
      if (!width) return new Promise((done) => setTimeout(done, 50));
      const picture = new OffscreenCanvas(width, height);
      const begun = performance.now();
      picture.getContext("2d").drawImage(this.video, 0, 0);
      const body = await picture.convertToBlob({ type: "image/jpeg", quality: 0.85 });
      const asked = `mirror=${Number(this.mirror)}&drawn=${Number(!this.before)}`;
      let answer;
      try {
        answer = await fetch(`${this.root.dataset.live}/frame?${asked}`, { method: "POST", body });
      } catch {
        return this.stop(this.root.dataset.gone);
      }
      if (!this.running) return;
      if (!answer.ok) return this.stop(await answer.text());
      const drawn = await createImageBitmap(await answer.blob());
      this.canvas.width = drawn.width;
      this.canvas.height = drawn.height;
      this.canvas.getContext("2d").drawImage(drawn, 0, 0);
      const told = JSON.parse(answer.headers.get("x-vtoon"));
      this.figures(begun, told);
      if (told.face && !this.known) this.root.dispatchEvent(new Event("vt-face", { bubbles: true })); // the looks, on it
      this.known = told.face;
    }
    figures(begun, told) {
      const now = performance.now();
      this.times.push([now, now - begun]);
      this.times = this.times.slice(-RECENT);
      const spent = (now - this.times[0][0]) / 1000;
      const rate = spent > 0 ? (this.times.length - 1) / spent : 0;
      const late = this.times.map((time) => time[1]).sort((a, b) => a - b)[this.times.length >> 1];
      const line = this.root.dataset.figures.replace("[fps]", rate.toFixed(1)).replace("[ms]", Math.round(late));
      this.say(line.replace("[detail]", told.detail || "auto"), true);
    }
    snapshot() {
      this.canvas.toBlob((blob) => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(blob);
        link.download = `snapshot-${new Date().toTimeString().slice(0, 8).replaceAll(":", "")}.png`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      }, "image/png");
    }
    act(name) {
      if (name === "start") return this.running ? this.stop() : this.start();
      if (name === "snapshot") return this.running && this.snapshot();
      this[name] = !this[name];
      this.root.querySelector(`[data-do=${name}]`).setAttribute("aria-pressed", this[name]);
    }
  }
  const cameras = new WeakMap();
  const of = (target) => {
    const root = target.closest?.("[data-live]");
    if (root && !cameras.has(root)) cameras.set(root, new Camera(root));
    return root && cameras.get(root);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-do]");
    if (button) of(button)?.act(button.dataset.do);
  });
  document.addEventListener("keydown", (event) => {
    const name = { m: "mirror", b: "before", s: "snapshot" }[event.key.toLowerCase()];
    if (name && !event.ctrlKey && !event.metaKey && !event.altKey) of(event.target)?.act(name);
  });
})();
