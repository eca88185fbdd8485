export default ({ data, parentElement }) => {
  const box = parentElement.querySelector(".tb-replay");
  // A page that is drawn again goes on playing.
  if (box.run === data.run) return;
  box.run = data.run;
  play(box, data.story, data.height);
};
